"""The parquet source: layouts, columns, class names and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.sources import load_dataset, parse_source, source_from_argument
from support.source_files import EACH, noise, png, read, refuse, write_parquet


def test_shards_of_a_hub_folder_are_read_by_split(tmp_path: Path) -> None:
    for seed, name in enumerate(
        ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")
    ):
        write_parquet(tmp_path / "data" / f"{name}.parquet", seed=seed)
    raw = read(tmp_path, source="parquet", path=".")
    assert {split: len(part.items) for split, part in raw.given().items()} == {
        "train": 4 * EACH,
        "val": 2 * EACH,
    }
    assert raw.classes == ("cat", "dog")
    assert raw.train.names[13] == "train[13] 1.png"
    assert raw.train.items[2 * EACH] == png(noise(1, 1)[0])


@pytest.mark.parametrize("place", ["test", "train-00001-of-00002"])
def test_class_names_must_agree_across_files(place: str, tmp_path: Path) -> None:
    """Otherwise files with separately numbered labels would be read with wrong labels."""
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    write_parquet(tmp_path / "data" / f"{place}.parquet", seed=1, classes=("dog", "cat"))
    line = refuse(tmp_path, source="parquet", path="data")
    assert f"{place}.parquet: classes of 'label' are 'dog', 'cat' ... here and 'cat', 'dog' ... in" in line


def test_two_configurations_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "large" / "train.parquet")
    write_parquet(tmp_path / "small" / "train.parquet")
    assert "several folders hold a train split" in refuse(tmp_path, source="parquet", path=".")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["dog", "ant"] * EACH, ("ant", "dog")),
        ([7, 3] * EACH, ("3", "7")),
        ([10, 9] * EACH, ("9", "10")),
        ([1.0, 0.0] * EACH, ("0", "1")),
        (pa.array(["dog", "ant"] * EACH).dictionary_encode(), ("ant", "dog")),
    ],
)
def test_labels_without_names_are_named_by_their_sorted_values(
    labels: Any, classes: tuple[str, ...], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", names=False, label=labels)
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert raw.classes == classes
    assert raw.train.targets.values.tolist() == [1, 0] * EACH


def test_images_are_bytes_or_files_beside_the_table(tmp_path: Path) -> None:
    images = noise(2 * EACH, 0)
    (tmp_path / "0.png").write_bytes(png(images[0]))
    cells = [
        {"bytes": None if row == 0 else png(image), "path": f"{row}.png"} for row, image in enumerate(images)
    ]
    pq.write_table(pa.table({"img": cells, "label": [0, 1] * EACH}), tmp_path / "struct.parquet")
    pq.write_table(pa.table({"x": [png(i) for i in images], "y": [0, 1] * EACH}), tmp_path / "binary.parquet")
    for name in ("struct.parquet", "binary.parquet"):
        dataset = load_dataset(source_from_argument(str(tmp_path / name)))
        pool = dataset.train.pool.items
        np.testing.assert_array_equal(pool, images.transpose(0, 3, 1, 2))


def test_dataset_is_named_after_its_folder_or_file(tmp_path: Path) -> None:
    for path in ("pets/train-00000-of-00001.parquet", "pets/flowers.parquet"):
        write_parquet(tmp_path / path)
    names = {"pets": "pets", "pets/flowers.parquet": "flowers", "pets/train-00000-of-00001.parquet": "pets"}
    for path, name in names.items():
        assert source_from_argument(str(tmp_path / path)).dataset_name == name
    entry = {"source": "parquet", "train": "pets/flowers.parquet", "name": "tulips"}
    assert parse_source(entry, tmp_path, "data").dataset_name == "tulips"


def test_group_column_follows_its_images(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", hospital=["north", "south", "west"] * (2 * EACH // 3))
    dataset = load_dataset(
        parse_source(
            {"source": "parquet", "path": "a.parquet", "label": "label", "group": "hospital"}, tmp_path, ""
        )
    )
    for split in (dataset.train, dataset.val, dataset.eval["test"]):
        assert split.group_names == ("north", "south", "west")
        assert split.groups is not None
        assert (split.groups == split.ids % 3).all()


def test_coarse_column_gives_every_class_its_parent(tmp_path: Path) -> None:
    coarse = ["felid", "canid"] * EACH
    write_parquet(tmp_path / "a.parquet", family=coarse, order=["carnivora"] * 2 * EACH)
    entry = {"source": "parquet", "path": "a.parquet", "label": "label"}
    raw = read(tmp_path, **entry, coarse="family", group="family")
    assert (raw.classes, raw.parents) == (("cat", "dog"), ("felid", "canid"))
    dataset = load_dataset(parse_source({**entry, "coarse": "family"}, tmp_path, ""))
    assert dataset.eval["test"].with_parents_as_classes().classes == ("felid", "canid")
    assert read(tmp_path, **entry, coarse="order").parents == ("carnivora",) * 2
    line = refuse(tmp_path, **entry, coarse="famly")
    assert "unknown coarse column 'famly', did you mean 'family'?" in line
    write_parquet(tmp_path / "a.parquet", family=[*coarse[:-1], "felid"])
    line = refuse(tmp_path, **entry, coarse="family")
    assert "class 'dog' belongs to 'canid' and to 'felid'" in line


def test_unusable_tables_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", fine_label=[0, 1] * EACH)
    line = refuse(tmp_path, source="parquet", path="a.parquet", label="fine_lable")
    assert "unknown label column 'fine_lable', did you mean 'fine_label'?" in line
    assert "no such file" in refuse(tmp_path, source="parquet", train="absent.parquet")
    assert "no Parquet file of a train split" in refuse(tmp_path, source="parquet", path=".")
    assert "unknown image column 'img'" in refuse(tmp_path, source="parquet", path="a.parquet", image="img")
    line = refuse(tmp_path, source="parquet", path="a.parquet", image="fine_label")
    assert "column 'fine_label' of type int64 holds no images" in line
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    assert "broken.parquet: cannot be read" in refuse(tmp_path, source="parquet", path="broken.parquet")
    write_parquet(tmp_path / "two.parquet", thumbnail=[b""] * (2 * EACH))
    assert "image: image | thumbnail" in refuse(tmp_path, source="parquet", path="two.parquet")


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (2, "train: label 2 in row 0 is out of range (allowed: 0 to 1)"),
        (-1, "train: label -1 in row 0 is out of range (allowed: 0 to 1)"),
        (None, "train: missing labels (NaN): 1, the first in row 0"),
        (0.5, "train: label 0.5 in row 0 is not a whole number"),
    ],
)
def test_invalid_labels_are_refused(first: Any, expected: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", label=pa.array([first, 1, *([0, 1] * (EACH - 1))]))
    assert expected in refuse(tmp_path, source="parquet", path="a.parquet")
