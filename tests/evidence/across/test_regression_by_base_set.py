"""Regression within base sets: estimates, wild cluster bootstrap, and what has no estimate."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm

from distillab.evidence.across import Term, WithinDesign, mediate, regress
from distillab.evidence.across.regression import _WildBootstrap


def contexts(
    groups: int, each: int = 6, *, slope: float = 0.02, seed: int = 0, own_slopes: float = 0.0
) -> tuple[npt.NDArray[np.float64], list[Term], list[str]]:
    """Return gains that rise with x, fall with z, and differ between base sets."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), each)
    x, z = rng.random(len(of)), rng.random(len(of))
    slopes = slope + own_slopes * rng.normal(size=groups)
    gains = slopes[of] * x - 0.01 * z + 0.05 * rng.normal(size=groups)[of] + 0.005 * rng.normal(size=len(of))
    return gains, [Term("x", x), Term("z", z)], [f"set-{i}" for i in of]


def test_estimates_are_those_of_least_squares_with_a_dummy_per_base_set() -> None:
    gains, terms, sets = contexts(7)
    dummies = (np.array(sets)[:, None] == np.unique(sets)[None]).astype(float)
    design = np.column_stack([terms[0].values, terms[1].values, dummies])
    expected = sm.OLS(gains, design).fit().params[:2]
    found = regress(gains, terms, sets)
    assert [each.estimate for each in found] == pytest.approx(expected.tolist())


def test_cluster_robust_error_is_that_of_statsmodels() -> None:
    gains, terms, sets = contexts(7)
    dummies = (np.array(sets)[:, None] == np.unique(sets)[None]).astype(float)
    design = np.column_stack([terms[0].values, terms[1].values, dummies])
    groups = np.unique(sets, return_inverse=True)[1]
    fit = sm.OLS(gains, design).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    spread = _WildBootstrap.of(WithinDesign.of_terms(gains, terms, sets), 0).spread
    assert spread == pytest.approx(fit.bse[0])


@pytest.mark.parametrize("hypothesis", [0.0, 0.01, 0.03])
def test_wild_bootstrap_is_that_of_refitting_every_resample(hypothesis: float) -> None:
    gains, terms, sets = contexts(5)
    design = WithinDesign.of_terms(gains, terms, sets)
    x, z, y = design.terms[:, 0], design.terms[:, 1], design.gains

    def statistic(values: npt.NDArray[np.float64]) -> float:
        both = np.column_stack([x, z])
        theta = np.linalg.lstsq(both, values, rcond=None)[0]
        rest = values - both @ theta
        own = x - z * (x @ z) / (z @ z)
        parts = [(own * rest)[design.of == g].sum() for g in range(5)]
        return float(abs(theta[0] - hypothesis) / np.sqrt(np.square(parts).sum()) * (own @ own))

    slope = z @ (y - hypothesis * x) / (z @ z)
    fitted = hypothesis * x + slope * z
    rest = y - fitted
    observed = statistic(y)
    drawn = [
        statistic(fitted + np.array(signs)[design.of] * rest) for signs in product((1.0, -1.0), repeat=5)
    ]
    expected = np.mean([each >= observed * (1 - 1e-9) for each in drawn])
    assert _WildBootstrap.of(design, 0).p_value(hypothesis) == pytest.approx(expected)


def test_wild_interval_ends_where_the_test_begins_to_reject() -> None:
    gains, terms, sets = contexts(9, own_slopes=0.01)
    [found, _] = regress(gains, terms, sets)
    wild = _WildBootstrap.of(WithinDesign.of_terms(gains, terms, sets), 0)
    assert found.interval_by == "wild cluster bootstrap"
    assert found.note == "few base sets: it varies within 9"
    width = found.ci_high - found.ci_low
    for end, outwards in ((found.ci_low, -1.0), (found.ci_high, 1.0)):
        assert (
            wild.p_value(end + outwards * 0.01 * width) <= 0.05 < wild.p_value(end - outwards * 0.01 * width)
        )


def test_false_findings_are_rare_when_base_sets_have_slopes_of_their_own() -> None:
    p_values = [
        regress(*_one_term(contexts(10, slope=0.0, seed=seed, own_slopes=0.03)))[0].p_value
        for seed in range(150)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.10


def test_intervals_of_many_base_sets_cover_the_true_slope() -> None:
    covered = []
    for seed in range(100):
        [found] = regress(*_one_term(contexts(16, seed=seed, own_slopes=0.02)))
        assert found.interval_by == "cluster bootstrap"
        covered.append(found.ci_low <= 0.02 <= found.ci_high)
    assert np.mean(covered) >= 0.88


def _one_term(
    given: tuple[npt.NDArray[np.float64], list[Term], list[str]],
) -> tuple[npt.NDArray[np.float64], list[Term], list[str]]:
    gains, terms, sets = given
    return gains + 0.01 * terms[1].values, terms[:1], sets


def test_order_of_contexts_does_not_matter() -> None:
    gains, terms, sets = contexts(8)
    order = np.random.default_rng(3).permutation(len(gains))
    moved = [Term(term.name, term.values[order]) for term in terms]
    here, there = regress(gains, terms, sets), regress(gains[order], moved, [sets[i] for i in order])
    for one, other in zip(here, there, strict=True):
        assert one.estimate == pytest.approx(other.estimate)
        assert (one.ci_low, one.ci_high) == pytest.approx((other.ci_low, other.ci_high))


def test_terms_without_variation_have_a_reason_instead_of_an_estimate() -> None:
    gains, terms, sets = contexts(8)
    between = Term("of the base set", np.repeat(np.arange(8.0), 6))
    constant = Term("constant", np.ones(48))
    twice = Term("twice x", 2.0 * terms[0].values)
    found = {each.term: each for each in regress(gains, [*terms, between, constant, twice], sets)}
    assert found["of the base set"].note == "constant within every base set"
    assert found["constant"].note == "constant over all contexts"
    assert found["x"].note == found["twice x"].note
    assert "only together with other terms" in found["x"].note
    assert all(np.isnan(found[name].estimate) for name in ("x", "twice x", "constant", "of the base set"))
    assert np.isfinite(found["z"].estimate)


def test_term_that_varies_within_few_base_sets_has_no_interval() -> None:
    gains, terms, sets = contexts(8)
    values = np.where(np.isin(sets, ["set-0", "set-1"]), terms[0].values, 0.0)
    [found] = regress(gains, [Term("x", values)], sets)
    assert found.note == "no interval: it varies within 2 of 8 base sets only"
    assert np.isfinite(found.estimate)
    assert np.isinf(found.ci_high)


def test_effect_through_the_teacher_is_separated() -> None:
    rng = np.random.default_rng(5)
    gains, terms, sets = contexts(14, slope=0.0)
    teacher = 0.8 - 0.2 * terms[0].values + 0.03 * rng.normal(size=len(gains))
    gains = 0.1 * teacher + 0.01 * terms[0].values + 0.0005 * rng.normal(size=len(gains))
    [found], slope = mediate(gains, terms[:1], teacher, sets)
    assert found.total.estimate == pytest.approx(-0.01, abs=0.002)
    assert found.direct.estimate == pytest.approx(0.01, abs=0.002)
    assert slope.estimate == pytest.approx(0.1, abs=0.005)
    assert found.via_teacher == pytest.approx(-0.02, abs=0.003)
    assert found.ci_low < found.via_teacher < found.ci_high < 0


def test_numbers_that_do_not_match_are_refused() -> None:
    gains, terms, sets = contexts(6)
    with pytest.raises(ValueError, match="one value for each"):
        regress(gains[1:], terms, sets)
    with pytest.raises(ValueError, match="NaN"):
        regress(np.where(np.arange(len(gains)) == 2, np.nan, gains), terms, sets)
