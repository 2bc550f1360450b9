"""Labels that are written lists, names that join others, and columns of splits that are not named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.data.targets import Labels, LabelSets
from support.source_files import EACH, noise, png, read, refuse, write_csv

CSV = {"source": "csv", "path": "labels.csv"}


@pytest.mark.parametrize(
    ("cells", "classes", "first"),
    [
        (["['a', 'b']", "['a']", "[]"], ("a", "b"), [[1, 1], [1, 0], [0, 0]]),
        (['["a", "b"]', '["b"]', ""], ("a", "b"), [[1, 1], [0, 1], [0, 0]]),
        (["[0, 2]", "[1]", "[0]"], ("0", "1", "2"), [[1, 0, 1], [0, 1, 0], [1, 0, 0]]),
        (["[1 0 0]", "[0 1 1]", "[0. 0. 1.]"], ("0", "1", "2"), [[1, 0, 0], [0, 1, 1], [0, 0, 1]]),
    ],
)
def test_written_lists_are_label_sets(
    cells: list[str], classes: tuple[str, ...], first: list[list[int]], tmp_path: Path
) -> None:
    write_csv(tmp_path, table="labels.tsv", tags=cells * (2 * EACH // 3))
    raw = read(tmp_path, source="csv", path="labels.tsv", delimiter="\t")
    assert raw.classes == classes
    assert isinstance(raw.train.targets, LabelSets)
    assert raw.train.targets.values[:3].tolist() == first


@pytest.mark.parametrize("cells", [["[a, b]", "[a]"], ["['a', 'b']", "c"], ["[('a', 1)]", "['b']"]])
def test_lists_that_cannot_be_read_are_refused(cells: list[str], tmp_path: Path) -> None:
    write_csv(tmp_path, table="labels.tsv", tags=cells * EACH)
    line = refuse(tmp_path, source="csv", path="labels.tsv", delimiter="\t")
    assert "cannot be read as one" in line and "labels.tsv: tags" in line


@pytest.mark.parametrize("names", [("[cat]", "[dog]"), ("[cat", "dog]"), ("(a b)", "{c}")])
def test_names_in_brackets_are_names(names: tuple[str, str], tmp_path: Path) -> None:
    write_csv(tmp_path, species=list(names) * EACH)
    raw = read(tmp_path, **CSV)
    assert set(raw.classes) == set(names) and isinstance(raw.train.targets, Labels)


def test_names_that_join_others_are_noted(tmp_path: Path) -> None:
    write_csv(tmp_path, finding=["Edema", "Edema|Mass", "Mass"] * (2 * EACH // 3))
    raw = read(tmp_path, **CSV)
    assert raw.classes == ("Edema", "Edema|Mass", "Mass")
    assert any("such as 'Edema|Mass': `separator: '|'`" in note for note in raw.notes)
    assert not read(tmp_path, **CSV, separator="|").notes


@pytest.mark.parametrize("column", ["split", "Subset", "partition"])
@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_usual_column_of_splits_is_used(table: str, column: str, tmp_path: Path) -> None:
    write_table(table, tmp_path, {column: ["train"] * 6 + ["Valid"] * 2 + ["TEST"] * 4})
    raw = read(tmp_path, source=table, path=f"labels.{table}")
    assert [len(each.items) for each in raw.given().values()] == [6, 2, 4]
    assert any(f"column {column!r}" in note for note in raw.notes)


@pytest.mark.parametrize("table", ["csv", "parquet"])
@pytest.mark.parametrize(
    "columns",
    [
        {"split": ["train"] * 12},
        {"split": ["train"] * 6 + ["banana"] * 6},
        {"split": ["left", "right"] * EACH},
        {"part": ["train"] * 8 + ["test"] * 4},
    ],
    ids=["one split", "other values", "no splits", "another name"],
)
def test_other_columns_are_no_splits(table: str, columns: dict[str, Any], tmp_path: Path) -> None:
    write_table(table, tmp_path, columns)
    raw = read(tmp_path, source=table, path=f"labels.{table}", label="label")
    assert list(raw.given()) == ["train"] and len(raw.train.items) == 12 and not raw.notes


def write_table(table: str, folder: Path, columns: dict[str, Any]) -> None:
    labels = ["cat", "dog"] * EACH
    if table == "csv":
        write_csv(folder, label=labels, **columns)
    else:
        images = [png(image) for image in noise(2 * EACH, 0)]
        pq.write_table(pa.table({"image": images, "label": labels, **columns}), folder / "labels.parquet")
