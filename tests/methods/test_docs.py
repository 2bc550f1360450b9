"""docs/methods.md lists what the registry holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import methods_table as tables
import pytest

from distillab.catalogue import CATALOGUE
from distillab.methods import methods

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_tables_are_up_to_date() -> None:
    text = (DOCS / "methods.md").read_text()
    assert tables.page(text) == text, "run make tables"


def test_every_method_has_a_row_with_paper_and_defaults() -> None:
    found = dict(re.findall(r"^\| `(\w+)` (\|.*)$", tables.registry_tables(), re.MULTILINE))
    assert sorted(found) == sorted(methods)
    for name, row in found.items():
        kind = methods[name]
        assert kind.paper in row
        assert all(key in row for key in kind.Config.model_fields)
        assert all(need.replace("_", " ") in row for need in kind.needs)


def test_page_without_table_markers_is_not_written() -> None:
    with pytest.raises(ValueError, match="0 places for registry"):
        tables.page("# Methods\n")


def test_gains_are_shown_with_interval_and_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "method,accuracy,gain,ci_low,ci_high,verdict,verdict_family,seeds,step_time,step_mib"
    rows = ["ce,0.31,,,,,,,,", "at,0.28,-3.0,-4.2,-1.8,harms,undecided,5,1.2,3"]
    (tmp_path / "methods-cnn.csv").write_text("\n".join([head, *rows]))
    machine = {"date": "2026-01-02", "processor": "a processor", "cores": "2", "torch": "2.9"}
    (tmp_path / "methods-cnn.json").write_text(json.dumps(machine))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    tables_text = tables.gains_tables()
    assert "Measured on 2026-01-02: a processor, 2 cores, torch 2.9." in tables_text
    assert "Of 1 comparisons 1 have a verdict alone, and 0 after correction" in tables_text
    assert "| `ce` | 31.0 % |  |  | the plain student |  | 1 | 0 |" in tables_text
    assert "| `at` | 28.0 % | -3.0 (-4.2 to -1.8) | 5 | harms | undecided | 1.2 | 3 |" in tables_text


def test_list_of_methods_is_complete() -> None:
    listed = {entry.name: entry.as_dict() for entry in CATALOGUE["methods"]()}
    assert list(listed) == list(methods)
    for name, entry in listed.items():
        kind = methods[name]
        assert entry["about"] and entry["paper"] == kind.paper and entry["teacher"] == kind.teacher
        assert entry["needs"] == sorted(kind.needs)
        assert entry["config"] == kind.Config().model_dump(mode="json")
