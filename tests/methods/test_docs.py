"""docs/methods.md says what the registry holds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from distillab.catalogue import CATALOGUE
from distillab.methods import methods

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods_table", DOCS / "methods_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(tables: ModuleType) -> None:
    text = (DOCS / "methods.md").read_text()
    assert tables.page(text) == text, "run make tables"


def test_every_method_has_its_row_with_paper_and_defaults(tables: ModuleType) -> None:
    found = dict(re.findall(r"^\| `(\w+)` (\|.*)$", tables.registry_tables(), re.MULTILINE))
    assert sorted(found) == sorted(methods)
    for name, row in found.items():
        kind = methods[name]
        assert kind.paper in row
        assert all(key in row for key in kind.Config.model_fields)
        assert all(need.replace("_", " ") in row for need in kind.needs)


def test_a_page_without_a_place_for_its_tables_is_not_written(tables: ModuleType) -> None:
    with pytest.raises(ValueError, match="0 places for registry"):
        tables.page("# Methods\n")


def test_the_list_of_methods_is_complete() -> None:
    listed = {entry["name"]: entry for entry in CATALOGUE["methods"]()}
    assert list(listed) == list(methods)
    for name, entry in listed.items():
        kind = methods[name]
        assert entry["about"] and entry["paper"] == kind.paper and entry["teacher"] == kind.teacher
        assert entry["needs"] == sorted(kind.needs)
        assert set(entry["config"]) == set(kind.Config.model_fields)
