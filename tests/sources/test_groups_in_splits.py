"""Splits by group: whole groups on one side, and given splits that share groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.sources import RawSplits
from distillab.sources.ingest import load_dataset
from support.made_images import Grouped, images, made


def test_splits_by_group_have_disjoint_groups() -> None:
    source = Grouped(
        train=tuple(pair for group in range(8) for pair in images(100 * group, 6)), split_by="group"
    )
    dataset = load_dataset(source)
    sets = [dataset.train, dataset.val, dataset.eval["test"]]
    names = [set(each.groups.tolist()) for each in sets if each.groups is not None]
    assert [len(each) for each in names] == [5, 1, 2]
    assert len(set().union(*names)) == 8
    assert dataset.digest == load_dataset(source).digest
    assert set(load_dataset(source.model_copy(update={"split_seed": 1})).val.groups) != names[1]


def test_image_in_two_groups_keeps_them_in_one_split() -> None:
    train = [pair for group in range(6) for pair in images(100 * group, 4)]
    both = [pair for pair in train if pair[0] < 100]  # group 0 again, in group 5 by its position below

    class Shared(Grouped):
        def read(self) -> RawSplits:
            raw = super().read()
            assert raw.train.groups is not None
            groups = np.concatenate([raw.train.groups[: -len(both)], np.full(len(both), 5)])
            return replace(raw, train=replace(raw.train, groups=groups))

    for seed in range(5):
        dataset = load_dataset(Shared(train=(*train, *both), split_by="group", split_seed=seed))
        for each in (dataset.train, dataset.val, dataset.eval["test"]):
            assert each.groups is not None
            assert (0 in each.groups) == (5 in each.groups)


def test_infeasible_splits_by_group_are_refused() -> None:
    with pytest.raises(RequestError, match="examples do not have groups"):
        load_dataset(made(images(0, 40), split_by="group"))
    two = [pair for group in range(2) for pair in images(100 * group, 20)]
    with pytest.raises(
        RequestError,
        match=r"2 classes lie in too few groups .*'a' \(2\), 'b' \(2\) .*allowed: at least 3 groups",
    ):
        load_dataset(Grouped(train=tuple(two), split_by="group"))


def test_given_splits_that_share_groups_are_refused_or_noted() -> None:
    train = [pair for group in range(4) for pair in images(100 * group, 6)]
    test = [*images(110, 6), *images(500, 6)]
    shared = Grouped(train=tuple(train), given_test=tuple(test), split_by="group")
    with pytest.raises(
        RequestError, match=r"split_by: groups in train and in the given test: 1 \('patient 1'\)"
    ):
        load_dataset(shared)
    by_image = load_dataset(Grouped(train=tuple(train), given_test=tuple(test)))
    note = "Groups in train and in test: 1 ('patient 1'); `split_by: group` keeps them apart."
    assert note in by_image.report.notes


def test_carved_splits_that_share_groups_are_noted() -> None:
    train = tuple(pair for group in range(3) for pair in images(100 * group, 20))
    [note] = [each for each in load_dataset(Grouped(train=train)).report.notes if "in test" in each]
    assert note.startswith("Groups in train and in test: 3")
    assert not any("in test" in each for each in load_dataset(made(images(0, 40))).report.notes)
