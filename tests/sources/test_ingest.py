"""From a source to a dataset: no leaks, no silent losses, repeatable splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.data.dataset import Dataset
from distillab.data.duplicates import content, count_across, leaks, repeats
from distillab.data.examples import Pool
from distillab.data.splits import carve, carve_groups, inseparable
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.sources import Source, parse_source
from distillab.sources.ingest import load_dataset
from support.made_images import Made, images, made, picture


def contents(dataset: Dataset) -> dict[str, set[bytes]]:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.eval["test"]}
    return {name: {image.tobytes() for image in split.images} for name, split in splits.items()}


def refuse(source: Source) -> str:
    with pytest.raises(RequestError) as caught:
        load_dataset(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------- splits and ids


def test_every_image_is_in_one_split_with_its_pixels_and_label() -> None:
    train = images(0, 100, classes=4)
    dataset = load_dataset(made(train, class_names=("a", "b", "c", "d")))
    splits = (dataset.train, dataset.val, dataset.eval["test"])
    assert sorted(np.concatenate([split.ids for split in splits]).tolist()) == list(range(100))
    for split in splits:
        assert split.labels.tolist() == [train[i][1] for i in split.ids]
        np.testing.assert_array_equal(split.images[:, 0], np.stack([picture(train[i][0]) for i in split.ids]))
    assert [len(split) for split in splits] == [72, 8, 20]  # test first, then val from what is left
    assert dataset.report.carved == ("val", "test")


def test_given_splits_are_kept_and_ids_are_counted_across_them() -> None:
    dataset = load_dataset(made(images(0, 10), given_val=images(20, 4), given_test=images(40, 6)))
    assert dataset.train.ids.tolist() == list(range(10))
    assert dataset.val.ids.tolist() == list(range(10, 14))
    assert dataset.eval["test"].ids.tolist() == list(range(14, 20))
    assert dataset.report.carved == ()


def test_splits_are_repeatable_and_depend_on_the_seed() -> None:
    train = images(0, 200)
    one, same = load_dataset(made(train)), load_dataset(made(train))
    other = load_dataset(made(train, split_seed=1))
    assert one.digest == same.digest
    assert set(one.val.ids) != set(other.val.ids)
    assert set(one.eval["test"].ids) != set(other.eval["test"].ids)


def test_ids_and_splits_do_not_depend_on_the_chosen_classes() -> None:
    train = images(0, 120, classes=3)
    names = ("a", "b", "c")
    whole = load_dataset(made(train, class_names=names))
    for choice in (["c", "a"], ["a", "c"]):
        part = load_dataset(made(train, class_names=names, classes=choice))
        assert part.classes == ("a", "c")
        for big, small in (
            (whole.train, part.train),
            (whole.val, part.val),
            (whole.eval["test"], part.eval["test"]),
        ):
            kept = big.labels != 1
            assert small.ids.tolist() == big.ids[kept].tolist()
            assert small.labels.tolist() == [{0: 0, 2: 1}[label] for label in big.labels[kept]]


@pytest.mark.parametrize(("val", "test"), [(0.9, 0.9), (0.01, 0.01), (0.01, 0.99)])
def test_every_split_gets_every_class_whatever_the_shares(val: float, test: float) -> None:
    train = [(content, label) for label in (0, 1) for content in range(10 * label, 10 * label + 3)]
    dataset = load_dataset(made(train, val=val, test=test))
    for split in (dataset.train, dataset.val, dataset.eval["test"]):
        assert split.counts.tolist() == [1, 1]


@given(
    sizes=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
    copies=st.integers(1, 3),
)
def test_carving_is_stratified_and_keeps_identical_images_together(
    sizes: list[int], share: float, seed: int, copies: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes).repeat(copies)
    codes = np.arange(sum(sizes)).repeat(copies)
    ids = np.random.default_rng(seed).permutation(len(labels)).astype(np.int64)
    targets = Labels(labels, len(sizes))
    carved = carve(targets, ids, codes, share, seed)
    assert not set(codes[carved]) & set(codes[~carved])
    for label, size in enumerate(sizes):
        count = int(carved[labels == label].sum())
        assert 1 <= count <= size * copies - 1
        inner = min(max(share * size * copies, copies), (size - 1) * copies)
        assert abs(count - inner) < copies
    order = np.random.default_rng(1).permutation(len(labels))
    assert (carve(targets.take(order), ids[order], codes[order], share, seed) == carved[order]).all()


# ---------------------------------------------------------------------------------------- duplicates


def test_identical_images_are_found_by_their_pixels() -> None:
    pixels = np.stack([picture(number) for number in (5, 6, 5, 7, 6, 5)])[:, None]
    pool, codes = content(pixels)
    assert codes.tolist() == [0, 1, 0, 3, 1, 0]
    assert pool.digest == Pool.of(pixels).digest
    assert repeats(codes, Labels(np.array([0, 0, 1, 0, 0, 0]), 2)) == (3, 1)
    parts = np.array([0, 0, 1, 1, 2, 2], dtype=np.int8)
    assert count_across(codes, parts) == {"train/val": 1, "train/test": 2, "val/test": 1}
    assert leaks(codes, parts).tolist() == [True, True, True, False, False, False]


def leaky(duplicates: str) -> Made:
    # images 2 and 3 of train are also in test, 4 of train in val, and 20 of val in test
    return made(
        images(0, 10),
        given_val=[*images(20, 4), (4, 0)],
        given_test=[*images(40, 4), (2, 0), (3, 1), (20, 0)],
        duplicates=duplicates,
    )


def test_duplicates_across_splits_are_dropped_from_the_earlier() -> None:
    dataset = load_dataset(leaky("drop"))
    assert dataset.report.duplicates == {"train/val": 1, "train/test": 2, "val/test": 1}
    assert dataset.report.dropped_duplicates == 3
    assert dataset.report.notes == ("Val examples that are also in test, left out: 1.",)
    assert dataset.train.ids.tolist() == [0, 1, 5, 6, 7, 8, 9]
    assert dataset.val.ids.tolist() == [11, 12, 13, 14]
    assert len(dataset.eval["test"]) == 7


def test_kept_duplicates_are_counted() -> None:
    dataset = load_dataset(leaky("keep"))
    assert dataset.report.duplicates == {"train/val": 1, "train/test": 2, "val/test": 1}
    assert dataset.report.dropped_duplicates == 0
    assert (len(dataset.train), len(dataset.val), len(dataset.eval["test"])) == (10, 5, 7)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_carving_never_leaks(seed: int, duplicates: str) -> None:
    train = images(0, 60) + images(0, 40) + [(100, 0), (100, 1)]
    dataset = load_dataset(made(train, split_seed=seed, val=0.3, test=0.3, duplicates=duplicates))
    held = contents(dataset)
    assert not held["train"] & held["val"]
    assert not held["train"] & held["test"]
    assert not held["val"] & held["test"]
    assert dataset.report.duplicates == {"train/val": 0, "train/test": 0, "val/test": 0}
    assert dataset.report.notes == (
        "Train examples that repeat another, kept: 41 (1 of them with another label).",
    )


def test_duplicates_of_a_given_val_set_are_counted_in_a_carved_test() -> None:
    val = images(0, 40)
    dataset = load_dataset(made(images(0, 40), given_val=val, duplicates="keep"))
    held = contents(dataset)
    assert dataset.report.duplicates["val/test"] == len(held["test"]) == 8
    assert dataset.report.duplicates["train/val"] == len(held["train"]) == 32


def test_dropping_that_empties_a_class_is_refused() -> None:
    line = refuse(made(images(0, 10), given_test=[(0, 0), (2, 0), (4, 0), (6, 0), (8, 0), (99, 1)]))
    assert "all train examples of class 'a' are also in a later split" in line
    assert "`duplicates: keep`" in line


# ---------------------------------------------------------------------------------------- faults


def test_broken_images_stop_the_reading_or_are_left_out() -> None:
    train = [*images(0, 30), (-1, 0), *images(50, 10), *[(-1, 1)] * 8]
    line = refuse(made(train))
    assert line.startswith("9 of 49 examples cannot be decoded: train[30] (")
    assert "train[44]" in line
    assert "train[45]" not in line
    assert "and 4 more" in line
    assert "`on_broken: skip`" in line
    dataset = load_dataset(made(train, on_broken="skip"))
    assert dataset.report.broken == ("train[30]", *[f"train[{row}]" for row in range(41, 49)])
    ids = np.concatenate([dataset.train.ids, dataset.val.ids, dataset.eval["test"].ids])
    assert sorted(ids.tolist()) == [*range(30), *range(31, 41)]
    assert len(dataset.train.pool.items) == 40


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (made([(0, 0), (1, 0)]), "there is only one class, 'a'"),
        (
            made([(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)]),
            "class 'b' has 2 examples to be split into train, test, val (allowed: at least 3",
        ),
        (
            made([(0, 0), (1, 0), (2, 1)], given_test=images(9, 4)),
            "class 'b' has 1 example to be split into train, val (allowed: at least 2",
        ),
        (
            made([(0, 0), (1, 0), (2, 0), (5, 1), (5, 1), (5, 1)]),
            "class 'b' has 3 examples (1 if identical ones are counted once) to be split",
        ),
        (made(images(0, 9), given_test=[(20, 0), (21, 0)]), "different classes: test lacks 'b'"),
        (made([(0, 0), (2, 0)], given_test=images(20, 4)), "different classes: train lacks 'b'"),
        (made(images(0, 9), given_val=[(20, 1)]), "train and val have different classes: val lacks 'a'"),
        (made(images(0, 9), given_test=[]), "the test split has no examples"),
        (
            made(images(0, 9), classes=["a", "bb"]),
            "classes: unknown class 'bb', did you mean 'b'? (allowed: 'a', 'b')",
        ),
        (made(images(0, 9), classes=3), "classes: 3 classes are requested (allowed: 2 to 2)"),
        (made([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]), "class 'b' has 3 examples (0 if identical"),
        (made([*images(0, 9), (-1, 1), (-1, 1)]), "2 of 11 examples cannot be decoded"),
        (
            made([(0, 0), (1, 0), (2, 0), *[(-1, 1)] * 3], on_broken="skip"),
            "all train examples of class 'b' are broken",
        ),
    ],
)
def test_unusable_data_are_refused_in_one_line(source: Made, expected: str) -> None:
    assert expected in refuse(source)


def test_classes_without_images_are_left_out_with_a_note() -> None:
    dataset = load_dataset(made([(i, 2 * (i % 2)) for i in range(20)], class_names=("a", "b", "c")))
    assert dataset.classes == ("a", "c")
    assert dataset.report.notes == ("Classes without examples, left out: 1 ('b').",)
    assert set(dataset.train.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    "entry", [{"source": "digits"}, {"source": "digits", "resolution": 6, "channels": 3}]
)
def test_dataset_survives_saving_and_opening(entry: dict[str, Any], tmp_path: Path) -> None:
    dataset = load_dataset(parse_source({**entry, "classes": 3, "name": "three digits"}, tmp_path, "data"))
    dataset.save(tmp_path)
    opened = Dataset.open(tmp_path)
    assert opened.digest == dataset.digest
    assert opened.report == dataset.report
    assert opened.name == "three digits"
    assert opened.train.shape == (3, 6, 6) if "resolution" in entry else (1, 8, 8)


# ---------------------------------------------------------------------------------------- by group


@given(
    groups=st.integers(4, 14),
    classes=st.integers(1, 4),
    each=st.integers(1, 6),
    shuffle=st.integers(0, 10**6),
    share=st.floats(0.05, 0.6),
    key=st.integers(0, 99),
)
def test_whole_groups_are_carved_with_every_class_on_both_sides(
    groups: int, classes: int, each: int, shuffle: int, share: float, key: int
) -> None:
    rng = np.random.default_rng(shuffle)
    group = np.repeat(np.arange(groups), classes * each)
    labels = np.tile(np.arange(classes), groups * each)
    ids, codes = rng.permutation(len(labels)) * 3, rng.permutation(len(labels))
    targets = Labels(labels.astype(np.int64), classes)
    columns = [column.astype(np.int64) for column in (ids, codes, group)]
    carved = carve_groups(targets, *columns, share, key)
    for name in range(groups):
        assert len(set(carved[group == name])) == 1
    sizes = np.bincount(labels[carved], minlength=classes)
    assert (sizes > 0).all() and (np.bincount(labels[~carved], minlength=classes) > 0).all()
    # Equal groups: their number is the share rounded, but never none and never all.
    assert abs(carved.sum() / (classes * each) - share * groups) <= max(0.5 + 1e-9, 1 - share * groups)
    order = rng.permutation(len(labels))
    again = carve_groups(targets.take(order), *(column[order] for column in columns), share, key)
    assert (again == carved[order]).all()


def test_groups_that_share_an_image_stay_together() -> None:
    group = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    codes = np.array([0, 1, 1, 2, 3, 4, 5, 6])
    assert inseparable(group, codes).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
