"""Methods over data sets: posterior probabilities, ranks, interquartile means, wins, and pairs of models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from distillab.evidence.across import (
    bayesian_signed_rank,
    compare_models,
    critical_difference,
    interquartile_mean,
    mcnemar_p,
    probability_of_improvement,
)

GAINS = [0.0123, -0.0041, 0.0217, 0.0034, 0.0172, 0.0086, -0.0113, 0.0268, 0.0029, 0.0145]


# (strength, margin) -> helps, equivalent, harms: mean of four runs of baycomp 1.0.3 with 50,000 draws each.
@pytest.mark.parametrize(
    ("strength", "margin", "expected"),
    [
        (0.5, 0.005, (0.9208, 0.0781, 0.0011)),
        (0.5, 0.0075, (0.7424, 0.2573, 0.0003)),
        (1.0, 0.005, (0.9036, 0.0950, 0.0014)),
        (3.0, 0.0075, (0.4511, 0.5489, 0.0000)),
    ],
)
def test_signed_rank_agrees_with_baycomp(
    strength: float, margin: float, expected: tuple[float, float, float]
) -> None:
    found = bayesian_signed_rank(GAINS, margin, strength=strength)
    assert (found.helps, found.equivalent, found.harms) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_signed_rank_of_one_gain_has_a_closed_form(strength: float) -> None:
    # The pseudo-observation alone is within the margin: w0^2 < 1/2, with w0 ~ Beta(strength, 1). The sum of
    # 0 and the gain exceeds twice the margin.
    found = bayesian_signed_rank([0.05], 0.01, strength=strength)
    assert found.helps == pytest.approx(0.5 ** (strength / 2), abs=0.012)
    assert found.harms == 0.0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=12))
def test_signed_rank_mirrors_with_the_sign_of_gains(gains: list[float]) -> None:
    here = bayesian_signed_rank(gains, 0.01, samples=500)
    there = bayesian_signed_rank([-gain for gain in gains], 0.01, samples=500)
    lower = bayesian_signed_rank(gains, 0.01, samples=500, higher_is_better=False)
    assert here.helps + here.equivalent + here.harms == pytest.approx(1.0)
    assert (here.helps, here.harms) == (there.harms, there.helps) == (lower.harms, lower.helps)


@pytest.mark.parametrize(("gains", "margin"), [([], 0.01), ([np.nan], 0.01), ([0.1], -0.01)])
def test_signed_rank_refuses_bad_input(gains: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match=r"finite|negative"):
        bayesian_signed_rank(gains, margin)


TABLE = {
    "ce": [0.71, 0.62, 0.80, 0.55, 0.91, 0.67, 0.75],
    "kd": [0.74, 0.66, 0.83, 0.60, 0.92, 0.70, 0.79],
    "dkd": [0.73, 0.65, 0.79, 0.58, 0.915, 0.71, 0.76],
}


def test_ranks_agree_with_scikit_posthocs_and_scipy() -> None:
    found = critical_difference(TABLE)
    assert found.methods == ("kd", "dkd", "ce")
    assert found.mean_ranks == pytest.approx((8 / 7, 14 / 7, 20 / 7))
    # scipy.stats.friedmanchisquare, and posthoc_wilcoxon(p_adjust="holm") of scikit-posthocs 0.17.1
    assert found.p_friedman == pytest.approx(0.005840977343195272)
    adjusted = {frozenset((pair.first, pair.second)): pair.p_adjusted for pair in found.pairs}
    assert adjusted[frozenset(("ce", "kd"))] == pytest.approx(0.046875)
    assert adjusted[frozenset(("ce", "dkd"))] == pytest.approx(0.125, abs=0.07)
    assert found.cliques == (("kd", "dkd"), ("dkd", "ce"))


def test_ranks_of_errors_are_reversed() -> None:
    errors = {name: 1.0 - np.array(values) for name, values in TABLE.items()}
    assert critical_difference(errors, higher_is_better=False).mean_ranks == pytest.approx(
        critical_difference(TABLE).mean_ranks
    )


def test_equal_methods_are_one_clique() -> None:
    found = critical_difference({"a": [0.5] * 8, "b": [0.5] * 8, "c": [0.5] * 8})
    assert found.p_friedman == 1.0
    assert found.cliques == (("a", "b", "c"),)
    assert found.mean_ranks == (2.0, 2.0, 2.0)


def test_without_a_difference_over_all_there_is_one_clique() -> None:
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(100):
        found = critical_difference({name: rng.normal(size=10) for name in "abcd"})
        false += found.cliques != (found.methods,)
    assert false <= 10


def test_all_methods_differ_when_each_is_better_everywhere() -> None:
    found = critical_difference({name: np.arange(12) / 100 + 0.1 * i for i, name in enumerate("abc")})
    assert found.cliques == ()


@pytest.mark.parametrize("scores", [{"a": [0.5]}, {"a": [0.5], "b": [np.nan]}])
def test_ranks_refuse_missing_scores(scores: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="finite score"):
        critical_difference(scores)


def test_interquartile_mean_cuts_a_quarter_of_the_runs_at_each_end() -> None:
    found = interquartile_mean([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 700.0]])
    assert found.value == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert (found.n_contexts, found.n_runs) == (2, 8)


def test_interquartile_interval_is_stratified_by_context() -> None:
    # Contexts differ widely and their runs do not: resampling within contexts leaves no uncertainty.
    found = interquartile_mean([[0.1] * 4, [0.9] * 4])
    assert (found.ci_low, found.ci_high) == pytest.approx((found.value, found.value))


def test_interquartile_intervals_cover_the_value_of_the_contexts() -> None:
    rng = np.random.default_rng(0)
    truth = np.linspace(0, 1, 8)
    expected = interquartile_mean([np.full(400, each) for each in truth], resamples=2).value
    covered = []
    for _ in range(80):
        found = interquartile_mean([each + 0.05 * rng.normal(size=8) for each in truth], resamples=300)
        covered.append(found.ci_low <= expected <= found.ci_high)
    assert np.mean(covered) >= 0.82


def wins(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    return float(np.mean([[(a > b) + 0.5 * (a == b) for b in np.ravel(other)] for a in np.ravel(one)]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5), st.lists(st.integers(0, 5), min_size=1, max_size=5)
)
def test_probability_of_improvement_counts_pairs_of_runs(one: list[int], other: list[int]) -> None:
    found = probability_of_improvement([one, [1]], [other, [0]], resamples=20)
    assert found.value == pytest.approx((wins(one, other) + 1.0) / 2)
    mirrored = probability_of_improvement([one], [other], higher_is_better=False, resamples=20)
    assert mirrored.value == pytest.approx(1.0 - wins(one, other))
    assert 0.0 <= found.ci_low <= found.ci_high <= 1.0


@pytest.mark.parametrize("values", [[], [[]], [[np.nan]]])
def test_aggregates_refuse_contexts_without_runs(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        interquartile_mean(values)


@pytest.mark.parametrize(("b", "c"), [(8, 1), (0, 6), (12, 12), (25, 14), (0, 0), (1, 0)])
def test_mcnemar_agrees_with_statsmodels_and_the_definition(b: int, c: int) -> None:
    exact, mid = mcnemar_p(b, c)
    if b + c:
        assert exact == pytest.approx(min(1.0, mcnemar([[5, b], [c, 5]], exact=True).pvalue))
    assert mcnemar_p(c, b) == (exact, mid)
    assert mid <= exact


def test_mcnemar_mid_p_of_a_published_table() -> None:
    # Fagerland, Lydersen and Laake (2013), table 4: 1 and 7 discordant pairs.
    exact, mid = mcnemar_p(1, 7)
    assert (exact, mid) == (pytest.approx(0.0703, abs=1e-4), pytest.approx(0.0391, abs=1e-4))


def test_models_that_agree_everywhere_do_not_differ() -> None:
    found = compare_models([True, False, True], [True, False, True])
    assert (found.difference, found.ci_low, found.ci_high, found.p_exact) == (0.0, 0.0, 0.0, 1.0)


def test_intervals_over_test_examples_cover_the_true_difference() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        won = rng.random(400)
        both = compare_models(won < 0.75, (won < 0.65) | (won > 0.95), resamples=500)
        covered.append(both.ci_low <= 0.05 <= both.ci_high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


def test_models_need_the_same_examples() -> None:
    with pytest.raises(ValueError, match="same test examples"):
        compare_models([True], [True, False])
