"""Label sets from sources, and their way through ingest: classes, splits, groups and unknown labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.data.dataset import Dataset
from distillab.data.targets import LabelSets
from distillab.sources import load_dataset, parse_source
from support.source_files import EACH, noise, png, read, refuse, write_npz, write_parquet

NAMES = ("Edema", "Hernia", "Mass")


def write_findings(
    path: Path, values: npt.NDArray[np.int8], *, patients: npt.NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Write a Parquet file with one column per label and return an entry that reads it."""
    columns: dict[str, Any] = {"image": [png(image) for image in noise(len(values), 3)]}
    columns |= {name: values[:, place] for place, name in enumerate(NAMES)}
    if patients is not None:
        columns["patient"] = [f"patient {number}" for number in patients]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return {"source": "parquet", "path": str(path), "labels": list(NAMES)}


def random_sets(count: int, seed: int = 0) -> npt.NDArray[np.int8]:
    """Return label sets of which one label is rare."""
    draws = np.random.default_rng(seed).random((count, 3))
    return (draws < np.array([0.5, 0.08, 0.25])).astype(np.int8)


def loaded(entry: dict[str, Any]) -> Dataset:
    return load_dataset(parse_source(entry, Path(), "data"))


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([["b", "a"], []] * EACH, pa.list_(pa.string()), ("a", "b")),
        ([[10, 9], []] * EACH, pa.list_(pa.int64()), ("9", "10")),
        ([[1, 0], None] * EACH, pa.large_list(pa.int32()), ("0", "1")),
    ],
)
def test_list_columns_give_label_sets(
    labels: list[Any], kind: pa.DataType, classes: tuple[str, ...], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", names=False, label=pa.array(labels, kind))
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert raw.classes == classes
    assert isinstance(raw.train.targets, LabelSets)
    assert raw.train.targets.values.tolist() == [[1, 1], [0, 0]] * EACH


def test_class_names_of_list_columns_come_from_the_schema(tmp_path: Path) -> None:
    features = {"tags": {"feature": {"names": list(NAMES), "_type": "ClassLabel"}, "_type": "Sequence"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"image": [png(image) for image in noise(2, 0)], "tags": [[2, 0], [1]]}
    table = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert raw.classes == NAMES
    assert raw.train.targets.values.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_arrays_of_indicators_give_label_sets(tmp_path: Path) -> None:
    values = np.tile([[1, 0], [1, 1], [0, 0]], (4, 1))
    write_npz(tmp_path / "a.npz", y_train=values, y_test=values, class_names=["cat", "dog"])
    raw = read(tmp_path, source="npz", path="a.npz")
    assert raw.classes == ("cat", "dog") and raw.test is not None
    assert raw.test.targets.values.tolist() == values.tolist()


def test_splits_are_stratified_by_every_label(tmp_path: Path) -> None:
    values = random_sets(400)
    dataset = loaded(write_findings(tmp_path / "a.parquet", values))
    total = dataset.train.counts + dataset.val.counts + dataset.eval["test"].counts
    assert total.tolist() == values.sum(axis=0).tolist()
    assert np.abs(dataset.eval["test"].counts - 0.2 * total).max() <= 2
    assert (dataset.val.counts > 0).all()
    assert len(dataset.train) + len(dataset.val) + len(dataset.eval["test"]) == 400
    again = loaded(write_findings(tmp_path / "a.parquet", values))
    assert again.digest == dataset.digest


def test_splits_by_group_have_disjoint_groups(tmp_path: Path) -> None:
    patients = np.random.default_rng(1).integers(0, 90, 400)
    entry = write_findings(tmp_path / "a.parquet", random_sets(400), patients=patients)
    dataset = loaded({**entry, "group": "patient", "split_by": "group"})
    groups = [set(np.unique(split.groups)) for split in (dataset.train, dataset.val, dataset.eval["test"])]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(set(patients.tolist()))
    for split in (dataset.train, dataset.eval["test"]):
        without = (~split.targets.members.any(axis=1)).mean()
        assert without == pytest.approx((random_sets(400).sum(axis=1) == 0).mean(), abs=0.08)
    assert 60 < len(dataset.eval["test"]) < 100
    assert all((split.counts > 0).all() for split in (dataset.train, dataset.val, dataset.eval["test"]))


def test_choosing_classes_keeps_every_example(tmp_path: Path) -> None:
    entry = write_findings(tmp_path / "a.parquet", random_sets(200))
    whole, part = loaded(entry), loaded({**entry, "classes": ["Mass", "Edema"]})
    assert part.classes == ("Edema", "Mass")
    for split, same in ((part.train, whole.train), (part.eval["test"], whole.eval["test"])):
        assert abs(len(split) - len(same)) <= 2
    assert len(part.train) + len(part.val) + len(part.eval["test"]) == 200


def test_examples_without_a_known_label_are_left_out_with_a_note(tmp_path: Path) -> None:
    values = random_sets(100)
    values[:7] = -1
    values[7, 0] = -1
    dataset = loaded(write_findings(tmp_path / "a.parquet", values))
    assert "Examples without a known label, left out: 7." in dataset.report.notes
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    assert sum(map(len, splits)) == 93 and all(split.labelled.all() for split in splits)


def test_labels_without_examples_are_noted(tmp_path: Path) -> None:
    values = random_sets(60)
    values[:, 1] = 0
    dataset = loaded(write_findings(tmp_path / "a.parquet", values))
    assert dataset.classes == ("Edema", "Mass")
    assert "Classes without examples, left out: 1 ('Hernia')." in dataset.report.notes
    train, test = random_sets(60), random_sets(40, seed=1)
    test[:, 1] = 0
    entry = write_findings(tmp_path / "data" / "train.parquet", train)
    write_findings(tmp_path / "data" / "test.parquet", test)
    dataset = loaded({**entry, "path": str(tmp_path / "data"), "duplicates": "keep"})
    assert "Labels without an example in test: 'Hernia'." in dataset.report.notes
    assert dataset.eval["test"].counts[1] == 0


def test_label_sets_survive_saving_and_opening(tmp_path: Path) -> None:
    dataset = loaded(write_findings(tmp_path / "a.parquet", random_sets(60)))
    (tmp_path / "saved").mkdir()
    dataset.save(tmp_path / "saved")
    assert Dataset.open(tmp_path / "saved").digest == dataset.digest


def test_wrong_indicator_is_refused_with_its_column(tmp_path: Path) -> None:
    values = random_sets(20)
    values[4, 2] = 3
    entry = write_findings(tmp_path / "a.parquet", values)
    assert "Mass: value '3' in row 4 is not a label" in refuse(Path(), **entry)
