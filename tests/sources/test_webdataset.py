"""The webdataset source: shards, samples, labels and faults."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data.raw import StoredBytes
from distillab.sources import load_dataset, parse_source, source_from_argument
from support.source_files import EACH, noise, png, read, refuse, write_shard, write_shards


def test_shards_are_read_by_split_and_label(tmp_path: Path) -> None:
    write_shards(tmp_path / "pets", labels="json")
    dataset = load_dataset(
        parse_source({"source": "webdataset", "path": "pets", "label": "pet"}, tmp_path, "data")
    )
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.eval["test"]) == 2 * EACH
    where = {name: row for row, name in enumerate(range(0, 2 * EACH, 2))}
    test = dataset.eval["test"]
    np.testing.assert_array_equal(test.images[where[0]].transpose(1, 2, 0), noise(2 * EACH, 1)[0])
    assert source_from_argument(str(tmp_path / "pets")).kind == "webdataset"
    assert source_from_argument(str(tmp_path / "pets" / "train-0.tar")).kind == "webdataset"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "nothing"}, "there is no .tar file here"),
        ({"path": "pets", "label": "pets"}, "unknown label key 'pets', did you mean 'pet'?"),
        ({"path": "pets"}, "this image has no label (allowed: a .cls file beside it, or `label: key`)"),
        ({"path": "broken.tar"}, "cannot be read"),
    ],
)
def test_unusable_shards_are_refused(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    write_shards(tmp_path / "pets", labels="json")
    (tmp_path / "broken.tar").write_bytes(b"no archive at all" * 100)
    assert message in refuse(tmp_path, source="webdataset", **entry)


@pytest.mark.parametrize("endings", [("cls", "txt"), ("txt", "cls")])
def test_cls_file_has_precedence_over_txt_file(tmp_path: Path, endings: tuple[str, str]) -> None:
    """A .txt file often holds a caption, and may come first in the shard."""
    written = {"cls": "cat", "txt": "a picture of a dog"}
    image = {"0.png": png(noise(1, 0)[0])}
    write_shard(tmp_path / "pets.tar", image | {f"0.{end}": written[end].encode() for end in endings})
    assert read(tmp_path, source="webdataset", path="pets.tar").classes == ("cat",)


def test_pattern_expands_to_its_shards_in_order(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_shard(
            tmp_path / "pets" / f"train-{number:03}.tar",
            {f"{number}.png": png(noise(1, number)[0]), f"{number}.cls": b"0"},
        )
    source = parse_source(
        {"source": "webdataset", "path": "pets/train-{008..010}.tar"}, tmp_path, "study.yaml: data"
    )
    assert source.read().train.names == [f"train-{n:03}.tar/{n}" for n in (8, 9, 10)]
    assert source.dataset_name == "pets"
    line = refuse(tmp_path, source="webdataset", path="pets/train-{010..012}.tar")
    assert line.startswith(f"{tmp_path / 'pets' / 'train-012.tar'}: there is no .tar file here")


def test_shards_of_one_name_in_two_folders_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("north", "south"):
        write_shard(
            tmp_path / "pets" / folder / "0.tar", {"0.png": png(noise(1, 0)[0]), "0.cls": folder.encode()}
        )
    assert read(tmp_path, source="webdataset", path="pets").classes == ("north", "south")


def test_folders_of_shards_are_splits(tmp_path: Path) -> None:
    """A test set must not end up in train because its folder carries the name of the split."""
    for place, folder in enumerate(("train", "validation", "test", "extra")):
        write_shard(
            tmp_path / "pets" / folder / "00000.tar",
            {"0.png": png(noise(1, place)[0]), "0.cls": b"0", "1.png": png(noise(1, 9)[0]), "1.cls": b"1"},
        )
    found = read(tmp_path, source="webdataset", path="pets")
    assert found.val is not None and found.test is not None
    assert [len(split.items) for split in (found.train, found.val, found.test)] == [2, 2, 2]
    assert found.notes == ("Shards that belong to no split, left out: extra/00000.tar.",)


def test_second_image_of_a_sample_is_refused(tmp_path: Path) -> None:
    """A mask beside a photograph must not replace it."""
    photo, mask = png(noise(1, 0)[0]), png(noise(1, 1)[0])
    write_shard(tmp_path / "pets.tar", {"0.jpeg": photo, "0.png": mask, "0.cls": b"0"})
    line = refuse(tmp_path, source="webdataset", path="pets.tar")
    assert "0.png is the second image of its sample" in line and "`image`" in line
    found = read(tmp_path, source="webdataset", path="pets.tar", image="jpeg")
    assert isinstance(found.train.items[0], StoredBytes) and found.train.items[0].read() == photo


@pytest.mark.parametrize("end", ["a header", "a member", "a zeroed page", "a second archive"])
def test_damaged_shard_is_refused(end: str, tmp_path: Path) -> None:
    """tarfile silently takes a damaged header for the end of the archive."""
    files = {
        f"{n}.{kind}": png(noise(1, n)[0]) if kind == "png" else b"0"
        for n in range(6)
        for kind in ("png", "cls")
    }
    write_shard(tmp_path / "pets.tar", files)
    whole = (tmp_path / "pets.tar").read_bytes()
    with tarfile.open(tmp_path / "pets.tar") as archive:
        third = archive.getmembers()[2].offset
    cut = {
        "a header": whole[: third + 100],
        "a member": whole[:third],
        "a zeroed page": whole[:third] + bytes(512) + whole[third + 512 :],
        "a second archive": whole + whole,
    }[end]
    (tmp_path / "pets.tar").write_bytes(cut)
    line = refuse(tmp_path, source="webdataset", path="pets.tar")
    assert "truncated or damaged after byte" in line and "pets.tar" in line


def test_samples_without_an_image_are_left_out_with_a_note(tmp_path: Path) -> None:
    write_shard(tmp_path / "pets.tar", {"0.png": png(noise(1, 0)[0]), "0.cls": b"0", "1.cls": b"1"})
    found = read(tmp_path, source="webdataset", path="pets.tar")
    assert len(found.train.items) == 1
    assert found.notes == ("Samples without an image, left out: 1.",)
    write_shard(tmp_path / "empty.tar", {"1.cls": b"1"})
    assert "there is no image in the train shards" in refuse(tmp_path, source="webdataset", path="empty.tar")


def test_truncated_shard_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path / "pets")
    shard = tmp_path / "pets" / "train-1.tar"
    shard.write_bytes(shard.read_bytes()[: 3 * 512 + 40])
    assert "cannot be read" in refuse(tmp_path, source="webdataset", path="pets")


@pytest.mark.parametrize("name", ["a.1", "IMG.2019.07", "v1.0/x.y"])
def test_names_may_have_dots(name: str, tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for row, image in enumerate(noise(8, 0)):
        files |= {f"{name}.{row}.png": png(image), f"{name}.{row}.cls": str(row % 2).encode()}
    write_shard(tmp_path / "a.tar", files)
    raw = read(tmp_path, source="webdataset", path="a.tar")
    assert len(raw.train.items) == 8 and raw.train.names[0] == f"a.tar/{name}.0"
    assert raw.train.targets.values.tolist() == [0, 1] * 4


def test_further_image_of_a_sample_does_not_make_another(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for row, image in enumerate(noise(4, 0)):
        files |= {f"{row}.png": png(image), f"{row}.cls": str(row % 2).encode()}
        files |= {f"{row}.mask.png": png(image), f"{row}.mask.json": b"{}"}
    write_shard(tmp_path / "a.tar", files)
    assert len(read(tmp_path, source="webdataset", path="a.tar").train.items) == 4


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("1", "01"), ("01", "1")),
        (("10", "9"), ("9", "10")),
        (("1", "x"), ("1", "x")),
        (("None", "NA"), ("NA", "None")),
    ],
)
def test_labels_in_files_are_what_is_written(
    labels: tuple[str, str], classes: tuple[str, str], tmp_path: Path
) -> None:
    files: dict[str, bytes] = {}
    for row, image in enumerate(noise(4, 0)):
        files |= {f"{row}.png": png(image), f"{row}.cls": labels[row % 2].encode()}
    write_shard(tmp_path / "a.tar", files)
    raw = read(tmp_path, source="webdataset", path="a.tar")
    assert raw.classes == classes
    assert [raw.classes[label] for label in raw.train.targets.values] == list(labels) * 2


def test_splits_of_shards_can_be_stated_or_left_out(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "evaluation", "test")):
        labels = (b"-1", b"-1") if split == "test" else (b"0", b"1")
        files: dict[str, bytes] = {}
        for row, image in enumerate(noise(4, number)):
            files |= {
                f"{row}.png": png(image),
                f"{row}.cls": labels[row % 2],
            }
        write_shard(tmp_path / "pets" / f"{split}-000.tar", files)
    entry = {"source": "webdataset", "path": "pets"}
    assert "none of the 4 test examples has a label" in refuse(tmp_path, **entry)
    assert list(read(tmp_path, **entry, splits={"test": None}).given()) == ["train"]
    raw = read(tmp_path, **entry, splits={"test": "evaluation"})
    assert raw.test.names[0] == "evaluation-000.tar/0"
