"""Paired gains: coverage of intervals, exactness of p-values, and wide intervals where data are few."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from distillab.evidence.gains import (
    FloatArray,
    Gain,
    grid_floor,
    guarded_interval,
    paired_gain,
    sign_flip_p,
    smallest_gap,
    smallest_p,
)
from distillab.evidence.verdicts import benjamini_hochberg, holm, judge

differences = st.lists(st.integers(-50, 50), min_size=2, max_size=9).map(lambda x: np.array(x) / 1000)


@pytest.mark.parametrize("n", [2, 5, 6, 9])
@pytest.mark.parametrize("draw", ["normal", "grid"])
def test_sign_flip_p_agrees_with_scipy(n: int, draw: str) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(0.5, 1, n) if draw == "normal" else rng.integers(-1, 3, n) / 1000
    expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(x) == pytest.approx(expected.pvalue, abs=1e-12)


def test_sampled_sign_flip_p_is_near_the_exact_one_and_repeatable() -> None:
    x = np.random.default_rng(3).normal(0.35, 1, 20)
    signs = 2.0 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1) - 1.0
    sums = np.add.outer(signs @ x[:10], signs @ x[10:])
    exact = (np.abs(sums) >= abs(x.sum()) - 1e-12).mean()
    assert sign_flip_p(x) == sign_flip_p(x) == pytest.approx(exact, abs=5 * math.sqrt(exact / 99_999))


@given(differences)
def test_sign_flip_p_ignores_signs_and_order(x: FloatArray) -> None:
    p = sign_flip_p(x)
    assert smallest_p(len(x)) <= p <= 1
    assert sign_flip_p(-x) == p
    assert sign_flip_p(x[::-1]) == p


@pytest.mark.parametrize("n", range(1, 17))
def test_smallest_p_is_reached_when_all_pairs_agree(n: int) -> None:
    assert sign_flip_p(np.arange(1, n + 1)) == smallest_p(n) == min(1.0, 2 / 2**n)


def test_smallest_p_of_many_pairs_and_of_none() -> None:
    assert sign_flip_p(np.ones(40)) == smallest_p(40) == 1e-5
    assert smallest_p(0) == 1.0


def test_equal_runs_give_p_one() -> None:
    assert sign_flip_p(np.zeros(6)) == 1.0


# Families of the benchmark, at 5 to 10 pairs: mean, draw, step. 20,000 repetitions have a standard error of
# 0.15 points; benchmarks/interval_coverage.py prints the whole table.
Draw = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]
FAMILIES: dict[str, tuple[float, Draw, float]] = {
    "normal": (0.0, lambda rng, s: rng.normal(size=s), 0.0),
    "uniform": (0.5, lambda rng, s: rng.random(s), 0.0),
    "t5": (0.0, lambda rng, s: rng.standard_t(5, size=s), 0.0),
    "gamma4": (4.0, lambda rng, s: rng.gamma(4.0, size=s), 0.0),
    "one in ten diverged": (-0.3, lambda rng, s: rng.normal(size=s) - 3 * (rng.random(s) < 0.1), 0.0),
    "counts": (0.01, lambda rng, s: (rng.binomial(100, 0.03, s) - rng.binomial(100, 0.02, s)) / 100, 0.01),
    "rare": (0.002, lambda rng, s: (rng.binomial(100, 0.003, s) - rng.binomial(100, 0.001, s)) / 100, 0.01),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [5, 6, 8, 10])
def test_intervals_cover_at_5_to_10_pairs(family: str, n: int) -> None:
    mean, draw, step = FAMILIES[family]
    low, high = guarded_interval(draw(np.random.default_rng(n), (20_000, n)), floor=grid_floor(n, step))
    assert ((low <= mean + 1e-12) & (mean - 1e-12 <= high)).mean() >= 0.93


def test_interval_is_student_t_for_symmetric_differences() -> None:
    x = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    found = paired_gain(0.5 + x, np.full(5, 0.5))
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high))


@given(differences.filter(lambda x: np.ptp(x) > 0))
def test_guard_moves_only_the_end_of_the_longer_tail_outwards(x: FloatArray) -> None:
    low, high = guarded_interval(x)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    skewness = stats.skew(x)
    assert low <= expected.low + 1e-12
    assert high >= expected.high - 1e-12
    if skewness > 1e-9:
        assert high > expected.high
        assert low == pytest.approx(expected.low)


@given(differences, st.floats(0.1, 10), st.floats(-1, 1))
def test_gain_follows_sign_scale_and_shift(x: FloatArray, scale: float, shift: float) -> None:
    zero = np.zeros(len(x))
    found, mirrored = paired_gain(x, zero, resolution=0.001), paired_gain(zero, x, resolution=0.001)
    assert mirrored.gain == pytest.approx(-found.gain)
    assert (mirrored.ci_low, mirrored.ci_high) == pytest.approx((-found.ci_high, -found.ci_low))
    scaled = paired_gain(scale * x, zero, resolution=scale * 0.001)
    assert (scaled.ci_low, scaled.ci_high) == pytest.approx((scale * found.ci_low, scale * found.ci_high))
    moved = paired_gain(x + shift, zero, resolution=0.001)
    assert (moved.ci_low, moved.ci_high) == pytest.approx((found.ci_low + shift, found.ci_high + shift))
    assert found.ci_low < found.gain < found.ci_high


def test_more_confidence_gives_a_wider_interval() -> None:
    x = np.array([0.01, 0.02, 0.05])
    wide, narrow = paired_gain(x, 0 * x, confidence=0.99), paired_gain(x, 0 * x, confidence=0.8)
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high


def test_one_pair_has_an_infinite_interval() -> None:
    found = paired_gain([0.9], [0.5])
    assert found.gain == pytest.approx(0.4)
    assert (found.n_pairs, found.ci_low, found.ci_high) == (1, -math.inf, math.inf)
    assert found.p_value == 1.0
    assert judge(found, 0.005, True) == "undecided"


def test_equal_differences_keep_the_width_of_the_test_set() -> None:
    found = paired_gain([0.5] * 5, [0.5] * 5, resolution=0.001)
    assert found.ci_high == pytest.approx(0.001 * (1 - 0.025**0.2))
    assert found.ci_low == -found.ci_high
    assert found.p_value == 1.0
    assert judge(found, 0.005, True) == "equivalent"
    assert judge(paired_gain([0.5] * 5, [0.5] * 5, resolution=0.05), 0.005, True) == "undecided"


def test_smallest_observed_gap_replaces_an_unknown_step() -> None:
    plain = np.array([0.50, 0.52, 0.53])
    found = paired_gain(plain + 0.1, plain)
    assert found.ci_high - found.gain == pytest.approx(grid_floor(3, 0.01))
    nothing = paired_gain([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert (nothing.ci_low, nothing.ci_high) == (-math.inf, math.inf)


def test_grid_floor_is_the_clopper_pearson_bound() -> None:
    for n in (3, 5, 10):
        floor = grid_floor(n, 1.0)
        assert (1 - floor) ** n == pytest.approx(0.025)


def test_smallest_gap_ignores_equal_values() -> None:
    assert smallest_gap(np.array([0.3, 0.1, 0.3, 0.15])) == pytest.approx(0.05)
    assert smallest_gap(np.array([0.3, 0.1 + 0.2])) is None


@pytest.mark.parametrize(
    ("distilled", "plain", "confidence"),
    [
        ([0.5, math.nan], [0.5, 0.4], 0.95),
        ([0.5, 0.4], [0.5, math.inf], 0.95),
        ([0.5], [0.5, 0.4], 0.95),
        ([], [], 0.95),
        ([[0.5]], [[0.4]], 0.95),
        ([0.5, 0.6], [0.5, 0.5], 1.0),
    ],
)
def test_unusable_pairs_are_refused(distilled: list[float], plain: list[float], confidence: float) -> None:
    with pytest.raises(ValueError, match=r"pair|confidence"):
        paired_gain(distilled, plain, confidence=confidence)


@pytest.mark.parametrize(
    ("low", "high", "higher", "lower"),
    [
        (0.006, 0.02, "helps", "harms"),
        (-0.02, -0.006, "harms", "helps"),
        (-0.005, 0.005, "equivalent", "equivalent"),
        (0.001, 0.004, "equivalent", "equivalent"),
        (0.005, 0.02, "undecided", "undecided"),
        (-0.02, 0.02, "undecided", "undecided"),
        (-math.inf, math.inf, "undecided", "undecided"),
    ],
)
def test_verdict_follows_from_interval_and_margin(low: float, high: float, higher: str, lower: str) -> None:
    gain = Gain(6, (low + high) / 2 if math.isfinite(low) else 0.0, low, high, 0.5)
    assert judge(gain, 0.005, True) == higher
    assert judge(gain, 0.005, False) == lower


def test_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        judge(Gain(2, 0, -1, 1, 1), -0.1, True)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_corrections_agree_with_statsmodels(n: int) -> None:
    p = np.random.default_rng(n).integers(0, 8, n) / 40  # with ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_only_raise_p_values_and_keep_their_order(p: list[float]) -> None:
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(p)
        assert np.all((adjusted >= np.array(p) - 1e-12) & (adjusted <= 1))
        assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12)


def test_corrections_agree_with_hand_computed_values() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(benjamini_hochberg([0.01, 0.04, 0.03]), [0.03, 0.04, 0.04])
    assert len(holm([])) == len(benjamini_hochberg([])) == 0
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, math.nan])
