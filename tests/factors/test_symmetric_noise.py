"""Symmetric and pair noise: closed forms, and bit flips of label sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Factor, LabelNoise, Size
from support.datasets import examples_of, label_sets_of

SEEDS = st.integers(0, 2**63 - 1)


def _by_id(images: Examples) -> dict[int, int]:
    return dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))


def apply(factor: Factor, images: Examples, seed: int) -> Examples:
    return factor.apply(images, np.random.default_rng(seed))


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    level=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(["symmetric", "pair"]),
    seed=SEEDS,
)
def test_noise_changes_the_requested_share_of_every_class(
    counts: list[int], level: float, kind: Any, seed: int
) -> None:
    images = examples_of(counts)
    factor = LabelNoise(level=level, kind=kind)
    after = apply(factor, images, seed)
    assert after.input_digest == images.input_digest
    changed = after.labels != images.labels
    by_class = np.bincount(images.labels[changed], minlength=len(counts))
    assert (np.abs(by_class - level * np.array(counts)) <= 0.5 + 1e-9).all()
    if kind == "pair":
        assert np.array_equal(after.labels[changed], (images.labels[changed] + 1) % len(counts))
    assert factor.check(images, after).passed


def test_symmetric_noise_goes_to_every_other_class_equally() -> None:
    images = examples_of([4000] * 4)
    after = apply(LabelNoise(level=0.75), images, 1)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (images.labels, after.labels), 1)
    assert np.array_equal(confusion.diagonal(), [1000] * 4)
    # 1000 +- 5 standard deviations of a binomial with 3000 draws at 1/3.
    assert np.abs(confusion[~np.eye(4, dtype=bool)] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


@given(
    seed=SEEDS,
    level=st.floats(0.05, 0.95),
    keep=st.integers(5, 39),
    kind=st.sampled_from(["symmetric", "pair"]),
)
@settings(max_examples=40)
def test_noise_of_an_example_does_not_depend_on_the_others(
    seed: int, level: float, keep: int, kind: Any
) -> None:
    images = examples_of([40] * 4)
    subset = apply(Size(level=keep), images, seed + 1)
    factor = LabelNoise(level=level, kind=kind)
    large, small = (_by_id(apply(factor, s, seed)) for s in (images, subset))
    was = _by_id(subset)
    for c in range(4):
        of_class = [i for i, label in was.items() if label == c]
        in_large = {i for i in of_class if large[i] != c}
        in_small = {i for i in of_class if small[i] != c}
        assert in_large <= in_small or in_small <= in_large
        assert all(large[i] == small[i] for i in in_large & in_small)


def test_noise_needs_two_classes_and_matches_examples_by_id() -> None:
    with pytest.raises(RequestError, match="single class"):
        apply(LabelNoise(level=0.1), examples_of([9]), 0)
    images = examples_of([20, 20, 20])
    factor = LabelNoise(level=0.4)
    after = apply(factor, images, 0)
    backwards = after.select(np.arange(len(after))[::-1])
    assert factor.check(images, backwards).measured == factor.check(images, after).measured == 0.4
    with pytest.raises(ValueError, match="was not in the set"):
        factor.check(images, examples_of([20, 20, 20], first_id=3))


@given(level=st.floats(0, 1, exclude_max=True), seed=SEEDS)
@settings(max_examples=30)
def test_bit_flips_keep_label_frequencies_and_unknown_labels(level: float, seed: int) -> None:
    images = label_sets_of(examples_of([40] * 4))
    values = images.targets.values.copy()
    values[:20, 1] = -1
    images = images.relabel(values)
    factor = LabelNoise(level=level)
    after = apply(factor, images, seed)
    new = after.targets.values
    assert np.array_equal(new == -1, values == -1)
    lost, added = ((values == 1) & (new == 0)).sum(axis=0), ((values == 0) & (new == 1)).sum(axis=0)
    assert np.array_equal(lost, np.floor(level * images.counts + 0.5))
    assert np.array_equal(added, np.minimum(lost, (values == 0).sum(axis=0)))
    assert factor.check(images, after).passed
    assert after.input_digest == images.input_digest


def test_bit_flips_of_a_higher_level_include_those_of_a_lower_one() -> None:
    images = label_sets_of(examples_of([40] * 4))
    few, many = (apply(LabelNoise(level=level), images, 5).targets.values for level in (0.1, 0.4))
    changed = few != images.targets.values
    assert np.array_equal(few[changed], many[changed])
