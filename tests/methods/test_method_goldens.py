"""No edit changes the loss or a gradient of a method unnoticed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from distillab.methods import methods
from support import method_goldens
from support.method_goldens import changes, close, names, rows_of, table

GOLDEN = table()


@pytest.mark.parametrize("name", names())
def test_losses_and_gradients_are_those_of_the_table(name: str) -> None:
    """If a change is meant: raise the revision of the method, name it in CHANGELOG.md, write the table."""
    assert changes(name, GOLDEN) == []


def test_table_holds_every_method_once() -> None:
    with method_goldens.TABLE.open(newline="") as file:
        keys = [(row["method"], row["case"], row["quantity"]) for row in csv.DictReader(file)]
    assert len(keys) == len(set(keys))
    assert {key[0] for key in keys} == set(names()) >= set(methods)
    for name in methods:
        quantities = {quantity for method, _, quantity in keys if method == name}
        assert "gradient of logits: length" in quantities
        assert any("gradient" not in quantity for quantity in quantities)


def test_changed_and_missing_values_are_reported() -> None:
    key = ("kd", "middle", "kd")
    [line] = changes("kd", {**GOLDEN, key: GOLDEN[key] * (1 + 1e-5)})
    assert line.startswith("kd | middle | kd: ") and "in the table" in line and "computed" in line
    assert len(changes("kd", {**GOLDEN, ("kd", "middle", "other"): 1.0})) == 1
    assert len(changes("kd", {k: v for k, v in GOLDEN.items() if k != key})) == 1
    assert close(1.0, 1 + 1e-8) and not close(1.0, 1 + 1e-4)


def test_table_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_goldens, "TABLE", tmp_path / "goldens.csv")
    monkeypatch.setattr(method_goldens, "names", lambda: ["ce", "kd"])
    method_goldens.write()
    assert changes("kd", table()) == []
    assert {key[0] for key in table()} == {"ce", "kd"}
    before = method_goldens.TABLE.read_text()
    method_goldens.TABLE.write_text(
        before.replace("ce,middle,ce,", "ce,middle,ce,1").replace("kd,middle,kd,", "kd,middle,kd,1")
    )
    method_goldens.write(["kd"])
    assert changes("kd", table()) == [] and len(changes("ce", table())) == 1, "only the rows of kd are new"
    method_goldens.write()
    assert method_goldens.TABLE.read_text() == before
    assert rows_of("ce") == rows_of("ce"), "the values depend on nothing else"
