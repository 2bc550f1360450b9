"""Every study of ``studies/`` says whether its training is long enough, in agreement with its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from distillab.evidence.schema import read_rows
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.tasks import parse_task
from support.source_tree import ROOT

STUDIES = ROOT / "studies"
FILES = sorted(STUDIES.rglob("*.yaml"))
NAMES = [path.relative_to(STUDIES).with_suffix("").as_posix() for path in FILES]


def comments(path: Path) -> str:
    """Return the comments of a study on one line."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))


def judged(name: str) -> list[dict[str, Any]]:
    """Return the committed gains of a study in its primary metric, if their table judges its length."""
    folder, _, stem = name.rpartition("/")
    path = ROOT / "docs" / "results" / folder / f"{stem}-effects.parquet"
    if not path.exists():
        return []
    primary = parse_task(read_study_yaml(STUDIES / f"{name}.yaml").get("task", "classification")).primary
    return [row for row in read_rows(path) if row["metric"] == primary and "converged" in row]


@pytest.mark.parametrize(("name", "path"), list(zip(NAMES, FILES, strict=True)), ids=NAMES)
def test_a_study_states_what_twice_the_steps_would_change(name: str, path: Path) -> None:
    rows = judged(name)
    if rows and all(row["converged"] for row in rows):
        return
    assert re.search("(?i)twice the (steps|longest)", comments(path))


@pytest.mark.parametrize("name", [name for name in NAMES if judged(name)])
def test_a_study_agrees_with_its_table_on_the_length_of_training(name: str) -> None:
    text, rows = comments(STUDIES / f"{name}.yaml"), judged(name)
    probed = any("probe" in (row["convergence_note"] or "").replace("a probe would", "") for row in rows)
    assert ("it was not measured" in text.lower()) == (not probed and not all(r["converged"] for r in rows))
    rising = any(row["converged"] is False for row in rows)
    assert rising == ("Early training" in text), "a change of at least the tolerated one was found, or none"
