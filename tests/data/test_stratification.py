"""Stratification of label sets: every label is shared out, whatever the order of the examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.data.splits import carve, carve_groups, check_enough, check_enough_groups
from distillab.data.stratification import iterative_stratification
from distillab.data.targets import Labels, LabelSets


def label_sets(n: int, rates: list[float], seed: int = 0) -> LabelSets:
    """Sets in which each label occurs independently with a given probability."""
    rng = np.random.default_rng(seed)
    return LabelSets((rng.uniform(size=(n, len(rates))) < rates).astype(np.int8), len(rates))


def carved(
    targets: LabelSets, share: float, seed: int = 0, codes: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.bool_]:
    ids = np.random.default_rng(7).permutation(len(targets)).astype(np.int64)
    return carve(targets, ids, ids if codes is None else codes, share, seed)


@given(
    share=st.sampled_from([0.1, 0.2, 0.5]),
    seed=st.integers(0, 50),
    rates=st.lists(st.floats(0.02, 0.6), min_size=1, max_size=6),
)
def test_every_label_is_carved_by_its_share(share: float, seed: int, rates: list[float]) -> None:
    targets = label_sets(400, rates, seed)
    mask = carved(targets, share, seed)
    counts = targets.take(np.flatnonzero(mask)).counts
    assert np.abs(counts - share * targets.counts).max() <= 2 + 0.05 * targets.counts.max()
    assert abs(mask.sum() - share * len(targets)) <= 8


def test_rare_labels_are_shared_out_better_than_at_random() -> None:
    targets = label_sets(1000, [0.01, 0.02, 0.3, 0.5])
    rare = targets.counts[:2]
    errors = [
        np.abs(targets.take(np.flatnonzero(carved(targets, 0.3, seed))).counts[:2] - 0.3 * rare).sum()
        for seed in range(10)
    ]
    rng = np.random.default_rng(0)
    by_chance = [
        np.abs(targets.take(np.flatnonzero(rng.uniform(size=1000) < 0.3)).counts[:2] - 0.3 * rare).sum()
        for _ in range(10)
    ]
    assert np.mean(errors) < 0.5 * np.mean(by_chance)


def test_single_labels_are_stratified_exactly() -> None:
    """With one label per example the algorithm is plain stratification."""
    values = np.repeat(np.eye(3, dtype=np.int8), 20, axis=0)
    mask = carved(LabelSets(values, 3), 0.25)
    assert values[mask].sum(axis=0).tolist() == [5, 5, 5]


@given(seed=st.integers(0, 20))
def test_carving_does_not_depend_on_the_order_of_examples(seed: int) -> None:
    targets = label_sets(120, [0.1, 0.3, 0.5], seed)
    ids = np.random.default_rng(seed).permutation(500)[:120].astype(np.int64)
    order = np.random.default_rng(seed + 1).permutation(120)
    mask = carve(targets, ids, ids, 0.2, seed)
    assert (carve(targets.take(order), ids[order], ids[order], 0.2, seed) == mask[order]).all()
    assert (carve(targets, ids, ids, 0.2, seed + 1) != mask).any()


def test_identical_items_stay_together() -> None:
    targets = label_sets(90, [0.2, 0.4])
    codes = np.arange(90) // 3
    mask = carved(targets, 0.3, codes=codes)
    assert not set(codes[mask].tolist()) & set(codes[~mask].tolist())


@pytest.mark.parametrize("leave", [1, 2])
def test_every_label_is_left_on_both_sides_where_it_can_be(leave: int) -> None:
    values = np.zeros((40, 3), dtype=np.int64)
    values[:, 0] = 1
    values[:leave, 1] = 1  # as many as must be left: none can be carved
    values[: leave + 1, 2] = 1
    draws = np.random.default_rng(0).uniform(size=40)
    mask = iterative_stratification(values, np.ones(40, np.int64), draws, 0.1, leave)
    assert values[mask, 1].sum() == 0
    assert values[~mask, 2].sum() >= leave
    assert 3 <= mask.sum() <= 5


def test_groups_of_label_sets_are_carved_whole() -> None:
    targets = label_sets(300, [0.05, 0.2, 0.5])
    groups = np.random.default_rng(0).integers(0, 60, 300)
    ids = np.arange(300, dtype=np.int64)
    mask = carve_groups(targets, ids, ids, groups, 0.2)
    assert not set(groups[mask].tolist()) & set(groups[~mask].tolist())
    counts = targets.take(np.flatnonzero(mask)).counts
    assert np.abs(counts - 0.2 * targets.counts).max() <= 6
    again = carve_groups(targets, ids, ids, groups, 0.2)
    assert (again == mask).all()


def test_label_sets_need_not_hold_every_label_in_every_split() -> None:
    sets = LabelSets(np.array([[1, 0], [1, 0], [1, 1], [1, 0]], dtype=np.int8), 2)
    ids = np.arange(4, dtype=np.int64)
    check_enough(sets, ids, ("common", "rare"), ("test", "val"))
    check_enough_groups(sets, ids, ("common", "rare"), ("test", "val"))


def test_labels_are_carved_as_in_every_earlier_version() -> None:
    """Finished studies stand on these splits."""
    labels = Labels(np.arange(30) % 3, 3)
    ids = np.arange(100, 130)
    assert np.flatnonzero(carve(labels, ids, ids, 0.2, 5)).tolist() == [0, 1, 8, 18, 20, 22]
