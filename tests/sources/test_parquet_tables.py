"""Parquet files as people have them: paths, split columns, lists as labels, splits without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.data import storage
from distillab.data.targets import Labels, LabelSets
from support.source_files import noise, png, read, refuse, write_parquet

COUNT = 12


def write(path: Path, **columns: Any) -> None:
    """Write a Parquet file with encoded images, unless the columns bring others."""
    if not {"image", "file"} & columns.keys():
        columns = {"image": [png(image) for image in noise(COUNT, 0)], **columns}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def label_of(row: int) -> int:
    return row % 3


@pytest.mark.parametrize(
    "kind", ["text", "category", "struct", "struct of both", "below a root", "no ending"]
)
def test_images_may_be_paths(kind: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for row, image in enumerate(noise(COUNT, 0)):
        (tmp_path / "images" / f"{row}.png").write_bytes(png(image))
    paths = [f"images/{row}.png" for row in range(COUNT)]
    cells: Any = {
        "text": paths,
        "category": pa.array(paths).dictionary_encode(),
        "struct": [{"path": path} for path in paths],
        "struct of both": [{"bytes": None, "path": path} for path in paths],
        "below a root": [f"{row}.png" for row in range(COUNT)],
        "no ending": [f"{row}" for row in range(COUNT)],
    }[kind]
    write(tmp_path / "a.parquet", image=cells, label=[label_of(row) for row in range(COUNT)])
    root = {"root": "images"} if kind == "below a root" else {}
    raw = read(tmp_path, source="parquet", path="a.parquet", **root)
    assert list(map(Path, raw.train.items)) == [tmp_path / path for path in paths]
    assert raw.classes == ("0", "1", "2")


@pytest.mark.parametrize("large", [False, True])
def test_split_column_gives_the_splits(large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(storage, "LARGE", 0)
    parts = ["train"] * 6 + ["Validation"] * 3 + ["TEST"] * 3
    labels = [label_of(row) for row in range(COUNT)]
    write(tmp_path / "a.parquet", label=labels, part=parts)
    raw = read(tmp_path, source="parquet", path="a.parquet", label="label", split="part")
    assert {split: len(each.items) for split, each in raw.given().items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    item = raw.test.items[0]
    assert (item if isinstance(item, bytes) else item.read()) == png(noise(COUNT, 0)[9])
    assert raw.test.targets.values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([[row % 3, (row + 1) % 3] for row in range(COUNT)], [[1, 1, 0], [0, 1, 1], [1, 0, 1]]),
        ([[row % 3] + [1] * (row % 2) for row in range(COUNT)], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([[int(c == row % 3) for c in range(3)] for row in range(COUNT)], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([[c == row % 3 for c in range(3)] for row in range(COUNT)], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (
            [[float(c != row % 3) for c in range(3)] for row in range(COUNT)],
            [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
        ),
    ],
    ids=["two labels", "ragged", "one-hot", "one-hot booleans", "multi-hot numbers"],
)
def test_lists_of_labels_and_of_indicators_are_label_sets(
    lists: list[Any], expected: list[list[int]], tmp_path: Path
) -> None:
    write(tmp_path / "a.parquet", label=lists)
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert isinstance(raw.train.targets, LabelSets) and raw.classes == ("0", "1", "2")
    assert raw.train.targets.values[:3].tolist() == expected


def test_indicators_of_many_classes_keep_their_classes(tmp_path: Path) -> None:
    lists = [[int(c == 400 + 100 * (row % 3)) for c in range(1200)] for row in range(COUNT)]
    write(tmp_path / "a.parquet", label=lists)
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert len(raw.classes) == 1200
    assert np.flatnonzero(raw.train.targets.values[1]).tolist() == [500]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([[0, 1], [1, 0]] * 6, "lists of [0, 1] and [1, 0] may be indicators of two classes or labels"),
        ([[0, 1, 0], [1, 0]] * 6, "lists of zeros and ones have 2 to 3 values"),
        ([[0.3, 0.7], [0.6, 0.4]] * 6, "the list in row 0 holds 0.3"),
        ([[1, None], [2, 0]] * 6, "the list in row 0 holds a blank"),
        ([[[0], [1]], [[1], [1]]] * 6, "column 'label' holds values of type list<"),
        ([{"a": 1}, {"a": 2}] * 6, "column 'label' holds values of type struct<"),
        ([b"cat", b"dog"] * 6, "column 'label' holds values of type binary, which are no labels"),
        ([0.5, 1.0] * 6, "label 0.5 in row 0 is not a whole number"),
    ],
)
def test_cells_that_are_no_labels_are_refused_by_name(labels: list[Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", label=labels)
    line = refuse(tmp_path, source="parquet", path="a.parquet", label="label", image="image")
    assert reason in line and "label" in line


@pytest.mark.parametrize("names", [("NA", "None"), ("null", "nan"), ("10", "9"), ("1", "01")])
def test_names_that_resemble_blanks_or_numbers_stay_names(names: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", label=list(names) * 6)
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert set(raw.classes) == set(names) and isinstance(raw.train.targets, Labels)
    assert [raw.classes[label] for label in raw.train.targets.values] == list(names) * 6
    if names == ("10", "9"):
        assert raw.classes == ("9", "10")


@pytest.mark.parametrize("stated", [None, "validation", "unsupervised"])
def test_test_split_of_the_hub_without_labels_can_be_replaced(stated: str | None, tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation", "unsupervised")):
        write_parquet(tmp_path / "pets" / f"{split}-00000-of-00001.parquet", seed=seed)
    unlabelled = [png(image) for image in noise(4, 9)]
    write(tmp_path / "pets" / "test-00000-of-00001.parquet", image=unlabelled, label=[-1] * 4)
    entry = {"source": "parquet", "path": "pets", "image": "image"}
    table = pq.read_table(tmp_path / "pets" / "train-00000-of-00001.parquet")
    for split in ("train", "validation", "unsupervised"):  # paths as in the test file: encoded images alone
        file = tmp_path / "pets" / f"{split}-00000-of-00001.parquet"
        images = pa.array([cell["bytes"] for cell in pq.read_table(file)["image"].to_pylist()])
        pq.write_table(pa.table({"image": images, "label": table["label"]}), file)
    assert "none of the 4 test examples has a label" in refuse(tmp_path, **entry)
    raw = read(tmp_path, **entry, splits={"test": stated})
    expected = {
        None: ["train", "val"],
        "validation": ["train", "test"],
        "unsupervised": ["train", "val", "test"],
    }
    assert list(raw.given()) == expected[stated]


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("cifar10_train", "cifar10_test"), ("train_0", "test_0")]
)
def test_files_of_splits_have_many_names(train: str, test: str, tmp_path: Path) -> None:
    for hidden in ("pets/._train.parquet", "pets/__MACOSX/test.parquet"):
        (tmp_path / hidden).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / hidden).write_bytes(b"no table")
    write_parquet(tmp_path / "pets" / f"{train}.parquet")
    write_parquet(tmp_path / "pets" / f"{test}.parquet", seed=1)
    assert list(read(tmp_path, source="parquet", path="pets").given()) == ["train", "test"]
