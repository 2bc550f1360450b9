"""The settings of the students' recipes in the report, and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distillab.report.collect.question import recipe_lines
from support.studies import begin


def lines_of(folder: Path, **changes: Any) -> dict[str, tuple[str, bool, str]]:
    begun = begin(folder, **changes)
    with begun.ledger() as ledger:
        lines = recipe_lines(ledger, begun.spec)
    return {line.name: (line.value, line.auto, line.origin) for line in lines}


def test_each_value_has_its_origin(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, recipe={"warmup": 0.5})
    assert lines["warmup"] == ("0.5", False, "set in the study")
    assert lines["momentum"] == ("0.9", False, "default")
    assert lines["views"] == ("crop (pad 1)", True, "resolved from the data")
    assert lines["steps"] == ("3", False, "set in the study")
    by_size = "2 at 20 examples, 5 at 40 examples"
    assert lines["steps_per_epoch"] == (by_size, True, "depends on the number of examples")


def test_levels_of_steps_are_all_listed(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, factors={"steps": [3, 12]})
    assert lines["steps"] == ("3 or 12", False, "levels of the factor steps")


def test_tuned_settings_are_named(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, recipe={"lr": 0.05}, tune={"lr": [0.01, 0.1], "budget": 3})
    assert lines["lr"] == ("0.05", False, "chosen on val for each method: see Tuning")
    assert lines["momentum"][2] == "default"
