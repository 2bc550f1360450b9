"""Intervals over groups: their coverage of the next group, and what too few groups give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distillab.advise import group_coverage, group_p_values, group_quantile


def _coverage(groups: int, each: int, between: float, worlds: int = 1_000) -> float:
    """Return how often a score of a new group lies within the quantile of others."""
    rng = np.random.default_rng(groups)
    hits = 0
    names = [str(group) for group in range(groups) for _ in range(each)]
    for _ in range(worlds):
        levels = rng.normal(0, between, groups + 1)
        scores = np.abs(np.repeat(levels[:groups], each) + rng.normal(0, 1, groups * each))
        hits += abs(levels[-1] + rng.normal()) <= group_quantile(scores, names, 0.8)
    return hits / worlds


@pytest.mark.parametrize(
    ("groups", "each", "between"), [(9, 1, 1.0), (9, 12, 1.0), (9, 12, 3.0), (12, 5, 0.0)]
)
def test_interval_covers_the_next_group_as_often_as_stated(groups: int, each: int, between: float) -> None:
    assert 0.79 <= _coverage(groups, each, between) <= 0.92  # averaged p-values are on the safe side


def test_pooling_runs_would_not_cover_the_next_group_when_groups_are_unequal() -> None:
    rng = np.random.default_rng(0)
    large = np.abs(rng.normal(0, 0.1, 1_000))  # one group with many small scores
    small = np.abs(rng.normal(0, 5.0, 8))  # eight groups with a large one each
    scores = np.concatenate([large, small])
    names = ["large"] * len(large) + [f"g{k}" for k in range(len(small))]
    assert group_quantile(scores, names, 0.8) > 10 * np.quantile(scores, 0.8)


@pytest.mark.parametrize(("groups", "bounded"), [(1, False), (3, False), (4, True), (12, True)])
def test_too_few_groups_give_no_interval(groups: int, bounded: bool) -> None:
    scores = np.arange(1.0, groups + 1)
    assert math.isfinite(group_quantile(scores, list(range(groups)), 0.8)) is bounded


def test_quantile_is_where_the_p_value_falls_below_the_level() -> None:
    rng = np.random.default_rng(1)
    scores, names = rng.exponential(size=40), [f"g{k % 8}" for k in range(40)]
    quantile = group_quantile(scores, names, 0.8)
    at, beyond = group_p_values(scores, names, [quantile, quantile + 1e-9])
    assert at > 0.2 >= beyond


def test_coverage_weighs_groups_equally() -> None:
    assert group_coverage([True] * 9 + [False], ["a"] * 9 + ["b"]) == 0.5


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0])
def test_impossible_coverage_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage"):
        group_quantile([1.0], ["a"], coverage)


def test_scores_without_a_group_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        group_quantile([1.0, 2.0], ["a"], 0.8)
