"""Rare classes: all are named, and dropped, merged or used for training alone where that is stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from distillab.sources.folder import Folder
from support.source_files import noise, png


def write(root: Path, counts: dict[str, int], *, same: bool = False, seed: int = 100) -> None:
    """Write class folders with some images each, all alike if ``same``."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        images = noise(count, seed + number)
        for row, image in enumerate(images):
            data = png(images[0] if same else image)
            (root / name / f"{row}.png").write_bytes(data)


COMMON = {"cat": 14, "dog": 14, "fox": 14}
RARE = {f"rare{number:02}": 1 for number in range(30)}


def test_all_rare_classes_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path / "data", COMMON | RARE)
    with pytest.raises(RequestError) as caught:
        load_dataset(Folder(path=tmp_path / "data"))
    message = str(caught.value)
    assert "/data: 30 classes have too few examples to be split into train, test, val: " in message
    assert "'rare00' has 1 example, 'rare01' has 1 example," in message
    assert message.endswith(
        "and 25 more (allowed: at least 3 different examples per class, or"
        " `rare_classes: drop | other | train`)"
    )


def test_rare_classes_are_dropped(tmp_path: Path) -> None:
    write(tmp_path / "all", COMMON | RARE)
    write(tmp_path / "common", COMMON)
    dropped = load_dataset(Folder(path=tmp_path / "all", rare_classes="drop"))
    common = load_dataset(Folder(path=tmp_path / "common"))
    assert dropped.classes == ("cat", "dog", "fox")
    for one, other in ((dropped.train, common.train), (dropped.eval["test"], common.eval["test"])):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert any(
        note.startswith("Rare classes, left out: 30 ('rare00', ") and note.endswith("30 examples.")
        for note in dropped.report.notes
    )


def test_rare_classes_are_merged_into_other(tmp_path: Path) -> None:
    write(tmp_path / "all", COMMON | RARE)
    dataset = load_dataset(Folder(path=tmp_path / "all", rare_classes="other"))
    assert dataset.classes == ("cat", "dog", "fox", "other")
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    assert sum(int(split.counts[3]) for split in splits) == 30
    assert all(split.counts[3] for split in splits)
    assert any("merged into 'other': 30" in note for note in dataset.report.notes)


def test_class_called_other_takes_in_the_rare_ones(tmp_path: Path) -> None:
    write(tmp_path / "all", {"cat": 10, "other": 10, "rare": 2})
    dataset = load_dataset(Folder(path=tmp_path / "all", rare_classes="other"))
    assert dataset.classes == ("cat", "other")
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    assert sum(int(split.counts[1]) for split in splits) == 12


def test_merged_class_that_is_still_too_small_is_named(tmp_path: Path) -> None:
    write(tmp_path / "all", COMMON | {"rare": 1})
    with pytest.raises(RequestError, match="class 'other' has 1 example"):
        load_dataset(Folder(path=tmp_path / "all", rare_classes="other"))


def test_rare_classes_are_used_for_training_alone(tmp_path: Path) -> None:
    write(tmp_path / "all", COMMON | {"rare": 2, "rarer": 1})
    dataset = load_dataset(Folder(path=tmp_path / "all", rare_classes="train"))
    assert dataset.classes == ("cat", "dog", "fox", "rare", "rarer")
    assert dataset.train.counts[3:].tolist() == [2, 1]
    assert dataset.val.counts[3:].tolist() == dataset.eval["test"].counts[3:].tolist() == [0, 0]
    assert (dataset.eval["test"].counts[:3] > 0).all()
    assert any("used for training alone: 2 ('rare', 'rarer'), 3 examples." in n for n in dataset.report.notes)


@pytest.mark.parametrize("rule", ["drop", "other", "train"])
def test_sets_without_rare_classes_are_left_alone(rule: Any, tmp_path: Path) -> None:
    write(tmp_path / "all", COMMON)
    plain = load_dataset(Folder(path=tmp_path / "all"))
    assert load_dataset(Folder(path=tmp_path / "all", rare_classes=rule)).digest == plain.digest


@pytest.mark.parametrize("rule", ["drop", "train"])
def test_identical_images_count_once(rule: Any, tmp_path: Path) -> None:
    write(tmp_path / "data", COMMON)
    write(tmp_path / "data", {"same": 9}, same=True, seed=500)
    with pytest.raises(RequestError, match=r"'same' has 9 examples \(1 if identical ones are counted once\)"):
        load_dataset(Folder(path=tmp_path / "data"))
    dataset = load_dataset(Folder(path=tmp_path / "data", rare_classes=rule))
    assert ("same" in dataset.classes) == (rule == "train")
    if rule == "train":
        assert dataset.train.counts[3] == 9
        assert not dataset.eval["test"].counts[3]
    digests = {image.tobytes() for image in dataset.train.images}
    assert not digests & {image.tobytes() for image in dataset.eval["test"].images}


@pytest.mark.parametrize(
    ("rule", "classes", "trained"), [("drop", 2, []), ("other", 3, [3]), ("train", 3, [3])]
)
def test_classes_that_a_given_split_lacks_are_rare(
    rule: Any, classes: int, trained: list[int], tmp_path: Path
) -> None:
    write(tmp_path / "data" / "train", {"cat": 9, "dog": 9, "new": 3})
    write(tmp_path / "data" / "test", {"cat": 2, "dog": 2, "old": 2}, seed=200)
    write(tmp_path / "data" / "val", {"cat": 2, "dog": 2, "older": 2}, seed=300)
    with pytest.raises(RequestError, match=r"different classes: .*or `rare_classes`"):
        load_dataset(Folder(path=tmp_path / "data"))
    dataset = load_dataset(Folder(path=tmp_path / "data", rare_classes=rule))
    assert len(dataset.classes) == classes
    assert dataset.train.counts[2:].tolist() == trained


@pytest.mark.parametrize("rule", ["drop", "other", "train"])
def test_groups_with_rare_classes_are_never_split(rule: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for group in range(6):
        rare = {"rare": 2} if group == 2 else {"odd": 1} if group > 3 else {}
        counts = {"cat": 4, "dog": 4, **rare}
        for number, (name, count) in enumerate(counts.items()):
            (root / f"g{group}" / name).mkdir(parents=True)
            for row, image in enumerate(noise(count, 10 * group + number)):
                (root / f"g{group}" / name / f"{row}.png").write_bytes(png(image))
    keys: dict[str, Any] = {"path": root, "layout": "group/class", "split_by": "group"}
    with pytest.raises(RequestError, match=r"2 classes lie in too few groups .*'odd' \(2\), 'rare' \(1\)"):
        load_dataset(Folder(**keys))
    dataset = load_dataset(Folder(**keys, rare_classes=rule))
    groups = [set(each.groups) for each in (dataset.train, dataset.val, dataset.eval["test"])]  # type: ignore[arg-type]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    if rule == "train":
        assert {2, 4, 5} <= groups[0]
        assert dataset.train.counts.tolist()[2:] == [2, 2]


def test_rule_for_rare_classes_is_recorded_only_if_it_is_set(tmp_path: Path) -> None:
    entry = {"source": "digits", "rare_classes": "drop"}
    assert parse_source(entry, tmp_path, "data").entry() == entry
    with pytest.raises(RequestError, match=r"data.rare_classes: 'all' is not accepted \(allowed: 'drop'"):
        parse_source({"source": "digits", "rare_classes": "all"}, tmp_path, "data")
