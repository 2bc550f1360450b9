"""Sequential stopping: error spending, error rates, and states that do not depend on interruptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distillab.evidence.answer import summarize
from distillab.evidence.draws import FloatArray
from distillab.evidence.effects import compute_effects
from distillab.evidence.gains import grid_floor, guarded_interval, paired_gain
from distillab.evidence.pairs import Row, SeedRows
from distillab.evidence.sequential import (
    SPENDING_POWER,
    SPENT_SHARE,
    ContrastState,
    Look,
    contrast_state,
    look_plan,
    pairs_at,
    spending_levels,
)
from distillab.tasks import Classification

SIZES = (5, 8, 12, 16, 20)
TASK = Classification()


def state(
    distilled: SeedRows, plain: SeedRows, looks: Sequence[Look], margin: float = 0.005
) -> ContrastState:
    return contrast_state(distilled, plain, looks, TASK.metrics["accuracy"], margin)


def rows(values: Sequence[float], method: str = "kd") -> SeedRows:
    """Return result rows by seed."""
    return {
        seed: {
            "run_id": f"{method}{seed}",
            "seed": seed,
            "method": method,
            "status": "done",
            "accuracy": value,
            "n_test": None,
        }
        for seed, value in enumerate(values)
    }


def shifted(gains: Sequence[float] | FloatArray) -> tuple[SeedRows, SeedRows]:
    """Return distilled and plain runs with the given gains."""
    return rows([0.5 + gain for gain in gains]), rows([0.5] * len(gains), "ce")


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_single_look_spends_the_whole_error(alpha: float) -> None:
    assert spending_levels((12,), alpha) == pytest.approx((alpha,))


def test_two_looks_agree_with_the_bivariate_normal() -> None:
    first, second = spending_levels((5, 20), 0.05)
    assert first == pytest.approx(0.05 / 16)
    z = stats.norm.isf([first / 2, second / 2])
    inside = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf(z, lower_limit=-z)
    assert 1 - inside == pytest.approx(0.05, abs=1e-6)


def test_five_looks_agree_with_the_multivariate_normal() -> None:
    levels = spending_levels((4, 8, 12, 16, 20), 0.05)
    z = stats.norm.isf(np.array(levels) / 2)
    corr = np.sqrt(
        np.minimum.outer(np.arange(1, 6), np.arange(1, 6)) / np.maximum.outer(range(1, 6), range(1, 6))
    )
    for k in range(1, 6):
        inside = stats.multivariate_normal(np.zeros(k), corr[:k, :k], seed=1).cdf(z[:k], lower_limit=-z[:k])
        assert 1 - inside == pytest.approx(0.05 * (k / 5) ** SPENDING_POWER, abs=2e-4)


@settings(max_examples=20)
@given(st.lists(st.integers(5, 40), min_size=1, max_size=5, unique=True).map(sorted))
def test_looks_spend_no_more_than_the_allowed_error(sizes: list[int]) -> None:
    looks = look_plan(sizes)
    assert [look.seeds for look in looks] == sizes
    assert sum(look.p_share for look in looks) == pytest.approx(1)
    levels = [1 - look.confidence for look in looks]
    assert max(levels) <= SPENT_SHARE * 0.05 + 1e-9 <= sum(levels) + 2e-9
    assert levels[0] == pytest.approx(SPENT_SHARE * 0.05 * (sizes[0] / sizes[-1]) ** SPENDING_POWER)


@pytest.mark.parametrize("sizes", [(), (4, 8), (5, 5), (8, 5)])
def test_looks_that_do_not_increase_from_5_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="increasing"):
        look_plan(sizes)


@pytest.mark.parametrize(
    ("draw", "step"),
    [
        (lambda rng, shape: rng.normal(size=shape), 0.0),
        (lambda rng, shape: rng.standard_t(5, size=shape), 0.0),
        (lambda rng, shape: rng.gamma(4.0, size=shape) - 4.0, 0.0),
        (lambda rng, shape: (rng.binomial(100, 0.02, shape) - rng.binomial(100, 0.02, shape)) / 100, 0.01),
    ],
    ids=["normal", "t5", "skewed", "gridded"],
)
@pytest.mark.parametrize("place", [0.0, 0.5, -0.5], ids=["no margin", "upper edge", "lower edge"])
def test_false_verdicts_stay_below_alpha(
    draw: Callable[[np.random.Generator, tuple[int, int]], FloatArray], step: float, place: float
) -> None:
    """2,000 studies whose true gain makes every verdict false. Bound: alpha and two standard errors."""
    gains = draw(np.random.default_rng(7), (2_000, SIZES[-1]))
    truth = place * gains.std()
    gains, margin, stopped = gains + truth, abs(truth), np.zeros(2_000, dtype=bool)
    for look in look_plan(SIZES):
        floor = grid_floor(look.seeds, step, look.confidence)
        low, high = guarded_interval(gains[:, : look.seeds], confidence=look.confidence, floor=floor)
        stopped |= (low > margin) | (high < -margin) | ((low >= -margin) & (high <= margin))
    assert stopped.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2_000)


def test_five_looks_at_full_confidence_exceed_alpha() -> None:
    """The reason for the design: the error rate of 95 % intervals at each of the same looks."""
    gains = np.random.default_rng(7).normal(size=(2_000, SIZES[-1]))
    ends = [guarded_interval(gains[:, :n], confidence=0.95) for n in SIZES]
    assert np.any([(low > 0) | (high < 0) for low, high in ends], axis=0).mean() > 0.09


def test_clear_gain_stops_at_the_first_look_with_its_pairs() -> None:
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10, -0.5, -0.5, -0.5])
    found = state(distilled, plain, looks)
    assert (found.look, found.verdict, found.complete, found.decided) == (looks[0], "helps", True, True)
    pairs = [(distilled[seed], plain[seed]) for seed in range(8)]
    assert [pair[0]["seed"] for pair in pairs_at(found.look, pairs)] == [0, 1, 2, 3, 4]


def test_undecided_contrast_continues_to_the_last_complete_look() -> None:
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.1, -0.1] * 5)
    assert state(distilled, plain, looks).look == looks[1]
    distilled, plain = shifted([0.1, -0.1] * 10)
    last = state(distilled, plain, looks)
    assert last.look == looks[-1]
    assert not last.decided


def table(gains: Sequence[float] | FloatArray) -> list[Row]:
    """Return result rows of one cell, plain and distilled."""
    distilled, plain = shifted(gains)
    cell = {"dataset": "d", "factor.size": 10.0, "provenance": "full", "teacher": "t", "student": "s"}
    return [cell | row for row in (*plain.values(), *distilled.values())]


def test_effects_have_the_interval_and_p_value_of_their_look() -> None:
    looks, gains = look_plan(SIZES), np.array([0.10, 0.11, 0.09, 0.10, 0.10, 0.3, 0.3, 0.3])
    (effect,) = compute_effects(table(gains), TASK, looks=looks)
    alone = paired_gain(0.5 + gains[:5], [0.5] * 5, confidence=looks[0].confidence)
    assert (effect["n_pairs"], effect["look"], effect["verdict"]) == (5, 1, "helps")
    assert effect["confidence"] == looks[0].confidence
    assert (effect["ci_low"], effect["ci_high"]) == (alone.ci_low, alone.ci_high)
    assert effect["p_value"] == effect["p_adjusted"] == min(1.0, 0.0625 / looks[0].p_share)
    (fixed,) = compute_effects(table(gains), TASK)
    assert not {"look", "confidence"} & fixed.keys()
    assert fixed["n_pairs"] == 8


def test_answer_gives_the_observed_spread_of_undecided_gains() -> None:
    gains = np.array([0.05, -0.05] * 10)
    looks = look_plan(SIZES)
    (effect,) = compute_effects(table(gains), TASK, looks=looks)
    answer = summarize([effect], TASK)
    assert (effect["verdict"], effect["n_pairs"]) == ("undecided", 20)
    assert f"by about {100 * gains.std(ddof=1):.1f} points" in answer.missing[0]
    assert any("whenever the study stopped" in sentence for sentence in answer.caveats)


def test_there_is_no_verdict_before_the_first_look_is_complete() -> None:
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10])
    for status in ("queued", "running", "held", "spared"):
        waiting = plain | {4: plain[4] | {"status": status}}
        found = state(distilled, waiting, looks)
        assert (found.look, found.complete, found.verdict) == (looks[0], False, "undecided")
    assert not state(distilled, {}, looks).complete


@pytest.mark.parametrize("status", ["failed", "excluded"])
def test_failed_and_excluded_runs_are_missing_pairs(status: str) -> None:
    looks = look_plan((6, 12))
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10, 0.10])
    lost = distilled | {4: distilled[4] | {"status": status, "accuracy": None}}
    assert state(lost, plain, looks).verdict == "helps"
    lost |= {5: lost[5] | {"status": status, "accuracy": None}}
    found = state(lost, plain, looks)
    assert (found.complete, found.verdict) == (True, "undecided")  # four pairs are left
    nothing = {seed: row | {"status": status, "accuracy": None} for seed, row in distilled.items()}
    found = state(nothing, plain, looks)
    assert (found.complete, found.verdict) == (True, "undecided")


@given(
    st.lists(st.integers(-20, 20), min_size=20, max_size=20),
    st.sampled_from([0.0, 0.005, 0.02]),
)
def test_later_seeds_never_change_where_a_contrast_stopped(units: list[int], margin: float) -> None:
    looks = look_plan(SIZES)
    gains = [unit / 100 for unit in units]
    ends = [state(*shifted(gains[:n]), looks, margin) for n in SIZES]
    stopped = [end for end in ends if end.decided]
    if stopped:
        assert all(end == stopped[0] for end in ends[ends.index(stopped[0]) :])
        alone = paired_gain(
            gains[: stopped[0].look.seeds],
            np.zeros(stopped[0].look.seeds),
            confidence=stopped[0].look.confidence,
        )
        assert not alone.ci_low < -margin < margin < alone.ci_high


@given(st.floats(0, 1), st.integers(0, 4))
def test_p_values_of_a_look_are_p_values(p: float, which: int) -> None:
    look = look_plan(SIZES)[which]
    assert p <= look.p_value(p) <= 1
