"""Stopping early: levels that spend what was promised, error rates that hold, and the same end however often
the study is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distillab.evidence.answer import answer
from distillab.evidence.effects import effects
from distillab.evidence.gains import grid_floor, guarded_interval, paired_gain
from distillab.evidence.sequential import (
    SPENDING_POWER,
    SPENT_SHARE,
    look_plan,
    seen_at,
    spending_levels,
    standing,
)

SIZES = (5, 8, 12, 16, 20)


def rows(values, method="kd", status="done", n_test=None):
    return {
        seed: {
            "run_id": f"{method}{seed}",
            "seed": seed,
            "method": method,
            "status": status,
            "accuracy": value,
            "n_test": n_test,
        }
        for seed, value in enumerate(values)
    }


def shifted(gains, plain=0.5):
    """Distilled and plain runs with the given gains."""
    return rows([plain + gain for gain in gains]), rows([plain] * len(gains), "ce")


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_one_look_spends_everything(alpha):
    assert spending_levels((12,), alpha) == pytest.approx((alpha,))


def test_two_looks_agree_with_the_bivariate_normal():
    first, second = spending_levels((5, 20), 0.05)
    assert first == pytest.approx(0.05 / 16)
    z = stats.norm.isf([first / 2, second / 2])
    inside = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf(z, lower_limit=-z)
    assert 1 - inside == pytest.approx(0.05, abs=1e-6)


def test_five_looks_agree_with_the_multivariate_normal():
    levels = spending_levels((4, 8, 12, 16, 20), 0.05)
    z = stats.norm.isf(np.array(levels) / 2)
    corr = np.sqrt(
        np.minimum.outer(np.arange(1, 6), np.arange(1, 6)) / np.maximum.outer(range(1, 6), range(1, 6))
    )
    for k in range(1, 6):
        inside = stats.multivariate_normal(np.zeros(k), corr[:k, :k], seed=1).cdf(z[:k], lower_limit=-z[:k])
        assert 1 - inside == pytest.approx(0.05 * (k / 5) ** SPENDING_POWER, abs=2e-4)


@settings(max_examples=20)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=5, unique=True).map(sorted))
def test_looks_spend_no_more_than_was_asked_and_every_level_is_stricter(sizes):
    looks = look_plan(sizes)
    assert [look.seeds for look in looks] == sizes
    assert sum(look.p_share for look in looks) == pytest.approx(1)
    levels = [1 - look.confidence for look in looks]
    assert max(levels) <= SPENT_SHARE * 0.05 + 1e-9 <= sum(levels) + 2e-9
    assert levels[0] == pytest.approx(SPENT_SHARE * 0.05 * (sizes[0] / sizes[-1]) ** SPENDING_POWER)


@pytest.mark.parametrize("sizes", [(), (1, 5), (5, 5), (8, 5)])
def test_looks_that_do_not_rise_are_refused(sizes):
    with pytest.raises(ValueError, match="rising"):
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
def test_false_verdicts_stay_below_alpha(draw, step, place):
    """2,000 studies whose true gain makes every verdict false. Bound: alpha and two standard errors."""
    gains = draw(np.random.default_rng(7), (2_000, SIZES[-1]))
    truth = place * gains.std()
    gains, margin, stopped = gains + truth, abs(truth), np.zeros(2_000, dtype=bool)
    for look in look_plan(SIZES):
        floor = grid_floor(look.seeds, step, look.confidence)
        low, high = guarded_interval(gains[:, : look.seeds], confidence=look.confidence, floor=floor)
        stopped |= (low > margin) | (high < -margin) | ((low >= -margin) & (high <= margin))
    assert stopped.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2_000)


def test_looking_five_times_without_stricter_levels_would_not_hold():
    """What the design is for: this is the error rate of 95 % intervals at each of the same looks."""
    gains = np.random.default_rng(7).normal(size=(2_000, SIZES[-1]))
    ends = [guarded_interval(gains[:, :n], confidence=0.95) for n in SIZES]
    assert np.any([(low > 0) | (high < 0) for low, high in ends], axis=0).mean() > 0.09


def test_a_clear_gain_stops_at_the_first_look_and_keeps_its_interval():
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10, -0.5, -0.5, -0.5])
    found = standing(distilled, plain, looks, margin=0.005)
    assert (found.look, found.verdict, found.complete, found.decided) == (looks[0], "helps", True, True)
    pairs = [(distilled[seed], plain[seed]) for seed in range(8)]
    assert [pair[0]["seed"] for pair in seen_at(found.look, pairs)] == [0, 1, 2, 3, 4]


def test_an_open_contrast_goes_on_to_the_last_complete_look():
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.1, -0.1] * 5)
    assert standing(distilled, plain, looks, 0.005).look == looks[1]
    distilled, plain = shifted([0.1, -0.1] * 10)
    last = standing(distilled, plain, looks, 0.005)
    assert last.look == looks[-1]
    assert not last.decided


def table(gains):
    """Result rows of one cell, plain and distilled."""
    distilled, plain = shifted(gains)
    cell = {"dataset": "d", "factor.size": 10.0, "provenance": "full", "teacher": "t", "student": "s"}
    return [cell | row for row in (*plain.values(), *distilled.values())]


def test_effects_carry_the_interval_and_the_p_value_of_their_look():
    looks, gains = look_plan(SIZES), np.array([0.10, 0.11, 0.09, 0.10, 0.10, 0.3, 0.3, 0.3])
    (effect,) = effects(table(gains), looks=looks)
    alone = paired_gain(0.5 + gains[:5], [0.5] * 5, confidence=looks[0].confidence)
    assert (effect["n_pairs"], effect["look"], effect["verdict"]) == (5, 1, "helps")
    assert effect["confidence"] == looks[0].confidence
    assert (effect["ci_low"], effect["ci_high"]) == (alone.ci_low, alone.ci_high)
    assert effect["p_value"] == effect["p_adjusted"] == min(1.0, 0.0625 / looks[0].p_share)
    (fixed,) = effects(table(gains))
    assert not {"look", "confidence"} & fixed.keys()
    assert fixed["n_pairs"] == 8


def test_the_spread_told_to_who_wants_to_go_on_is_the_one_that_was_seen():
    gains = np.array([0.05, -0.05] * 10)
    looks = look_plan(SIZES)
    (effect,) = effects(table(gains), looks=looks)
    said = answer([effect])
    assert (effect["verdict"], effect["n_pairs"]) == ("undecided", 20)
    assert f"by about {100 * gains.std(ddof=1):.1f} points" in said.missing[0]
    assert any("however it stopped" in sentence for sentence in said.caveats)


def test_there_is_no_verdict_before_the_first_look_is_complete():
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10])
    for status in ("queued", "running", "held", "spared"):
        waiting = plain | {4: plain[4] | {"status": status}}
        found = standing(distilled, waiting, looks, 0.005)
        assert (found.look, found.complete, found.verdict) == (looks[0], False, "undecided")
    assert not standing(distilled, {}, looks, 0.005).complete


@pytest.mark.parametrize("status", ["failed", "excluded"])
def test_runs_that_came_to_nothing_are_missing_pairs(status):
    looks = look_plan(SIZES)
    distilled, plain = shifted([0.10, 0.11, 0.09, 0.10, 0.10])
    lost = distilled | {4: distilled[4] | {"status": status, "accuracy": None}}
    assert standing(lost, plain, looks, 0.005).verdict == "helps"
    nothing = {seed: row | {"status": status, "accuracy": None} for seed, row in distilled.items()}
    found = standing(nothing, plain, looks, 0.005)
    assert (found.complete, found.verdict) == (True, "undecided")


@given(
    st.lists(st.integers(-20, 20), min_size=20, max_size=20),
    st.sampled_from([0.0, 0.005, 0.02]),
)
def test_what_comes_later_never_changes_where_a_contrast_stopped(units, margin):
    looks = look_plan(SIZES)
    gains = [unit / 100 for unit in units]
    ends = [standing(*shifted(gains[:n]), looks, margin) for n in SIZES]
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
def test_p_values_of_a_look_are_p_values(p, which):
    look = look_plan(SIZES)[which]
    assert p <= look.p_value(p) <= 1
