"""The csv source: files, labels, splits and groups of a table, and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data.targets import LabelSets
from distillab.sources import load_dataset, parse_source, source_from_argument
from support.source_files import EACH, read, refuse, write_csv

FINDINGS = ["No Finding", "Edema|Mass", "Mass", "", "Edema", "Edema | Hernia"] * 2
"""Labels of twelve images in one column."""


def sets(split: Any) -> list[list[int]]:
    assert isinstance(split.targets, LabelSets)
    values: list[list[int]] = split.targets.values.tolist()
    return values


@pytest.mark.parametrize("table", ["labels.csv", "labels.tsv"])
def test_labels_and_files_are_read_from_a_table(table: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "pets", table=table, species=["dog", "cat"] * EACH)
    source = source_from_argument(str(tmp_path / "pets" / table))
    raw = source.read()
    assert source.dataset_name == "pets"
    assert raw.classes == ("cat", "dog")
    assert raw.train.targets.values.tolist() == [1, 0] * EACH
    assert raw.train.items[3] == tmp_path / "pets" / "3.png"
    assert load_dataset(source).train.shape == (3, 8, 8)


def test_classes_that_are_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    for values, classes in (((10, 9), ("9", "10")), (("010", "09"), ("09", "010")), ((-1, 1), ("-1", "1"))):
        write_csv(tmp_path, grade=list(values) * EACH)
        assert read(tmp_path, source="csv", path="labels.csv").classes == classes


def test_files_may_be_a_pattern_of_columns_below_a_root(tmp_path: Path) -> None:
    write_csv(tmp_path / "images", species=["cat", "dog"] * EACH)
    rows = "\n".join(f"{row},images,{'cat' if row % 2 else 'dog'}" for row in range(2 * EACH))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "pets.csv").write_text(f"Image Index,folder,species\n{rows}\n")
    entry = {"source": "csv", "path": "tables/pets.csv", "root": "."}
    raw = read(tmp_path, **entry, file="{folder}/{Image Index}.png")
    assert raw.train.items[2] == tmp_path / "images" / "2.png"
    assert raw.train.names[2] == "images/2.png"
    line = refuse(tmp_path, **entry, file="{folders}/{Image Index}.png")
    assert "unknown file column 'folders', did you mean 'folder'?" in line
    assert "is not a pattern" in refuse(tmp_path, **entry, file="{folder")


def test_split_column_gives_the_splits(tmp_path: Path) -> None:
    part = ["train"] * 6 + ["Valid"] * 2 + ["test"] * 4
    write_csv(tmp_path, species=["cat", "dog"] * EACH, part=part)
    raw = read(tmp_path, source="csv", path="labels.csv", split="part")
    assert {name: len(split.items) for name, split in raw.given().items()} == {
        "train": 6,
        "val": 2,
        "test": 4,
    }
    assert raw.test.names[0] == "8.png"
    write_csv(tmp_path, species=["cat", "dog"] * EACH, part=["train", "held out"] * EACH)
    assert "'held out' is not a split" in refuse(tmp_path, source="csv", path="labels.csv", split="part")


def test_splits_may_have_a_table_each(tmp_path: Path) -> None:
    write_csv(tmp_path / "train", species=["cat", "dog"] * EACH)
    write_csv(tmp_path / "test", species=["dog", "cat"] * EACH)
    entry = {"source": "csv", "train": "train/labels.csv", "test": "test/labels.csv"}
    raw = read(tmp_path, **entry)
    assert raw.test.targets.values.tolist() == [1, 0] * EACH
    assert raw.test.items[0] == tmp_path / "test" / "0.png"
    assert "'split' and files for val or test exclude each other" in refuse(
        tmp_path, **entry, split="species", label="species"
    )


def test_groups_are_read_from_a_column(tmp_path: Path) -> None:
    write_csv(tmp_path, species=["cat", "dog"] * EACH, owner=["ann", "bob", "eve"] * 4)
    entry = {"source": "csv", "path": "labels.csv", "group": "owner"}
    raw = read(tmp_path, **entry)
    assert raw.group_names == ("ann", "bob", "eve") and raw.train.groups.tolist() == [0, 1, 2] * 4
    dataset = load_dataset(parse_source({**entry, "split_by": "group"}, tmp_path, "data"))
    groups = [set(np.unique(split.groups)) for split in (dataset.train, dataset.val, dataset.eval["test"])]
    assert sum(map(len, groups)) == 3 and len(set.union(*groups)) == 3


def test_groups_are_found_in_file_names(tmp_path: Path) -> None:
    for patient in range(12):
        write_csv(tmp_path / f"patient{patient % 4}" / f"study{patient}", species=["cat", "dog"] * EACH)
    rows = [f"patient{n % 4}/study{n}/0.png,{'cat' if n % 2 else 'dog'}" for n in range(12)]
    (tmp_path / "all.csv").write_text("\n".join(["Path,species", *rows]))
    entry = {"source": "csv", "path": "all.csv"}
    raw = read(tmp_path, **entry, group_pattern=r"(patient\d+)/")
    assert raw.group_names == ("patient0", "patient1", "patient2", "patient3")
    assert raw.train.groups.tolist() == [0, 1, 2, 3] * 3
    assert "is not found in" in refuse(tmp_path, **entry, group_pattern=r"(person\d+)/")
    line = refuse(tmp_path, **entry, group_pattern=r"(patient\d+)/", group="species")
    assert "'group' and 'group_pattern' exclude each other" in line


def test_one_column_with_a_separator_gives_label_sets(tmp_path: Path) -> None:
    write_csv(tmp_path, finding=FINDINGS)
    entry = {"source": "csv", "path": "labels.csv", "separator": "|", "empty": "No Finding"}
    raw = read(tmp_path, **entry)
    assert raw.classes == ("Edema", "Hernia", "Mass")
    assert sets(raw.train)[:6] == [[0, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert sets(read(tmp_path, **entry, blank="ignore").train)[3] == [-1, -1, -1]


def test_several_columns_give_label_sets_with_uncertain_labels(tmp_path: Path) -> None:
    write_csv(
        tmp_path,
        Edema=[1, 0, -1, "", "1.0", "0.0"] * 2,
        Mass=["", 1, 0, 1, 0, -1] * 2,
        age=range(2 * EACH),
    )
    entry = {"source": "csv", "path": "labels.csv", "labels": ["Mass", "Edema"]}
    raw = read(tmp_path, **entry)
    assert raw.classes == ("Mass", "Edema")
    assert sets(raw.train)[:6] == [[0, 1], [1, 0], [0, -1], [1, 0], [0, 1], [-1, 0]]
    ignored = sets(read(tmp_path, **entry, blank="ignore").train)
    assert ignored[:6] == [[-1, 1], [1, 0], [0, -1], [1, -1], [0, 1], [-1, 0]]


def test_unusable_tables_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path, species=["cat", "dog"] * EACH, tone=["dark", ""] * EACH)
    entry = {"source": "csv", "path": "labels.csv"}
    assert "several columns could be the label" in refuse(tmp_path, **entry)
    assert "unknown label column 'specie', did you mean 'species'?" in refuse(
        tmp_path, **entry, label="specie"
    )
    assert "unknown label column 'tones', did you mean 'tone'?" in refuse(tmp_path, **entry, labels=["tones"])
    assert "'labels' and 'label' exclude each other" in refuse(
        tmp_path, **entry, labels=["species"], label="tone"
    )
    assert "a label column is named twice" in refuse(tmp_path, **entry, labels=["tone", "tone"])
    assert "tone: train: missing labels (NaN): 6" in refuse(tmp_path, **entry, label="tone")
    line = refuse(tmp_path, **entry, labels=["species", "tone"])
    assert "species: value 'cat' in row 0 is not a label (allowed: 1, 0, -1 (uncertain) or blank)" in line
    assert "'empty' is for label sets" in refuse(tmp_path, **entry, label="species", empty="cat")
    assert "no one coarser class" in refuse(
        tmp_path, **entry, label="species", separator="|", coarse="species"
    )
    (tmp_path / "ragged.csv").write_text("file,label\n0.png,cat\n1.png\n")
    assert "the row of '1.png' has 1 cells, the header 2" in refuse(tmp_path, source="csv", path="ragged.csv")
    (tmp_path / "twice.csv").write_text("file,label,label\n0.png,cat,dog\n")
    assert "two columns are called 'label'" in refuse(tmp_path, source="csv", path="twice.csv")
    assert "there is no such file" in refuse(tmp_path, source="csv", path="absent.csv")
    (tmp_path / "utf8.csv").write_bytes(b"file,label\n0.png,caf\xe9\n")
    assert "utf8.csv: cannot be read" in refuse(tmp_path, source="csv", path="utf8.csv", encoding="utf-8")
    (tmp_path / "absent-image.csv").write_text(
        "file,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(13))
    )
    assert "12.png (" in refuse(tmp_path, source="csv", path="absent-image.csv")
