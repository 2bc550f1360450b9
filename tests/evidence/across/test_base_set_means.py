"""Means over base sets: each counts once, and intervals and verdicts hold for new base sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distillab.evidence.across import BaseSetMeans
from distillab.evidence.across.base_sets import LEAST_FOR_VERDICT, expanded_level

NAMES = [f"set-{number}" for number in range(30)]
values_of_sets = st.lists(st.floats(-0.1, 0.1), min_size=6, max_size=10)


def test_each_base_set_counts_once() -> None:
    found = BaseSetMeans.of([0.0, 0.0, 0.0, 0.4], ["a", "a", "a", "b"])
    assert found.mean == pytest.approx(0.2)
    assert found.sizes.tolist() == [3, 1]


@settings(max_examples=30, deadline=None)
@given(values_of_sets, st.randoms(use_true_random=False))
def test_order_of_contexts_does_not_matter(values: list[float], random: object) -> None:
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    here = BaseSetMeans.of(values, NAMES[: len(values)])
    there = BaseSetMeans.of([values[i] for i in order], [NAMES[i] for i in order])
    assert here.interval() == there.interval()


@settings(max_examples=30, deadline=None)
@given(values_of_sets, st.floats(-1, 1), st.floats(0.1, 10))
def test_interval_moves_and_scales_with_gains(values: list[float], shift: float, scale: float) -> None:
    names = NAMES[: len(values)]
    low, high = BaseSetMeans.of(values, names).interval()
    moved = BaseSetMeans.of(scale * np.array(values) + shift, names).interval()
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-9)


def test_interval_of_normal_gains_is_as_wide_as_student_t() -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(100):
        values = rng.normal(size=10)
        low, high = BaseSetMeans.of(values, NAMES[:10]).interval()
        half = stats.t.ppf(0.975, 9) * values.std(ddof=1) / np.sqrt(10)
        ratios.append((high - low) / 2 / half)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("number", "lowest"), [(6, 0.90), (8, 0.91), (14, 0.92)])
def test_intervals_cover_the_true_mean(number: int, lowest: float) -> None:
    rng = np.random.default_rng(number)
    ends = [BaseSetMeans.of(rng.normal(size=number), NAMES[:number]).interval() for _ in range(300)]
    assert lowest <= np.mean([low <= 0 <= high for low, high in ends]) <= 0.99


def test_false_verdicts_at_a_margin_are_rare() -> None:
    rng = np.random.default_rng(1)
    verdicts = [
        BaseSetMeans.of(0.01 + 0.01 * rng.normal(size=8), NAMES[:8]).summary(0.01).verdict for _ in range(200)
    ]
    assert np.mean([verdict in ("helps", "harms") for verdict in verdicts]) <= 0.06


@pytest.mark.parametrize("number", range(2, 9))
def test_no_verdict_below_six_base_sets(number: int) -> None:
    values = 0.05 + 0.001 * np.arange(number)
    found = BaseSetMeans.of(values, NAMES[:number]).summary(0.005)
    decided = number >= LEAST_FOR_VERDICT
    assert found.verdict == ("helps" if decided else "undecided")
    assert found.undecided_because == ("" if decided else f"fewer than 6 base sets ({number})")


@pytest.mark.parametrize(
    ("center", "higher", "verdict"),
    [(0.03, True, "helps"), (0.03, False, "harms"), (-0.03, True, "harms"), (0.0, True, "equivalent")],
)
def test_verdict_follows_the_direction_of_the_metric(center: float, higher: bool, verdict: str) -> None:
    values = center + 0.001 * np.array([-1.5, -1.0, -0.2, 0.1, 0.3, 0.9, 1.4, 0.0])
    assert BaseSetMeans.of(values, NAMES[:8]).summary(0.005, higher_is_better=higher).verdict == verdict


def test_verdict_level_is_never_below_the_sign_flip_test() -> None:
    values = 0.05 + 1e-5 * np.arange(6)  # the bootstrap alone would be certain
    assert BaseSetMeans.of(values, NAMES[:6]).verdict_level(0.005) == pytest.approx(2 / 2**6)


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [0.1, np.inf]])
def test_missing_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"match|NaN"):
        BaseSetMeans.of(values, NAMES[: len(values)])


def test_single_base_set_has_no_interval() -> None:
    assert BaseSetMeans.of([0.1, 0.2], ["a", "a"]).interval() == (-np.inf, np.inf)


def test_expanded_level_approaches_the_nominal_one() -> None:
    assert expanded_level(0.9, 100_000) == pytest.approx(0.05, abs=1e-4)
