"""The mixed model: right where it can be estimated, and no estimate where statsmodels returns exactly 0."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels

from distillab.evidence.across import Term, fit_mixed_model
from distillab.evidence.across.mixed_model import _failure

GROUPS, EACH = 8, 6
OF = np.repeat(np.arange(GROUPS), EACH)
SETS = [f"set-{i}" for i in OF]
BETWEEN = Term("of the base set", (OF % 2).astype(float))
WITHIN = Term("within", np.tile(np.linspace(0.0, 1.0, EACH), GROUPS))


def gains(seed: int, *, between: float = 0.0) -> npt.NDArray[np.float64]:
    """Return gains with a true effect of 0.03 of the term that is constant within base sets."""
    rng = np.random.default_rng(seed)
    of_sets = between * rng.normal(size=GROUPS)
    noise = rng.normal(0, 0.01, GROUPS * EACH)
    return np.asarray(0.02 + 0.03 * BETWEEN.values + 0.01 * WITHIN.values + of_sets[OF] + noise)


def statsmodels_alone(values: npt.NDArray[np.float64]) -> Any:
    """Return what statsmodels gives without any guard."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    design = np.stack([np.ones(len(values)), BETWEEN.values, WITHIN.values], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixedLM(values, design, OF).fit(method="lbfgs")


# In these data base sets differ no more than chance makes them: the form of statsmodels issue 10239.
def test_collapsed_variance_never_gives_an_estimate_of_exactly_zero() -> None:
    failures, reasons = 0, set()
    for seed in range(16):
        values = gains(seed)
        raw = statsmodels_alone(values)
        failures += bool(raw.converged and (np.asarray(raw.fe_params)[:2] == 0.0).all())
        found = fit_mixed_model(values, [BETWEEN, WITHIN], SETS)
        assert found.estimated == bool(found.effects)
        reasons.add(found.reason)
        for effect, truth in zip(found.effects, (0.02, 0.03, 0.01), strict=True) if found.effects else ():
            assert effect.estimate != 0.0
            assert effect.estimate == pytest.approx(truth, abs=0.02)
    assert "the variance between base sets collapses to 0" in reasons
    if [int(part) for part in statsmodels.__version__.split(".")[:2]] < [0, 16]:
        assert failures > 4, "the pattern is not that of the issue"


def test_planted_effects_are_recovered_where_base_sets_differ() -> None:
    found = fit_mixed_model(gains(0, between=0.01), [BETWEEN, WITHIN], SETS)
    assert found.estimated
    by_term = {effect.term: effect for effect in found.effects}
    assert list(by_term) == ["intercept", "of the base set", "within"]
    for term, truth in (("of the base set", 0.03), ("within", 0.01)):
        assert by_term[term].ci_low < truth < by_term[term].ci_high
    assert found.between == pytest.approx(0.01**2, rel=1.5)
    assert found.residual == pytest.approx(0.01**2, rel=0.5)


def test_result_scales_with_the_gains() -> None:
    one = fit_mixed_model(gains(0, between=0.01), [WITHIN], SETS)
    other = fit_mixed_model(1000 * gains(0, between=0.01), [WITHIN], SETS)
    assert other.effects[1].estimate == pytest.approx(1000 * one.effects[1].estimate, rel=1e-6)
    assert other.between == pytest.approx(1e6 * one.between, rel=1e-3)


def fitted(**changed: object) -> SimpleNamespace:
    """Return a result of statsmodels as the guard sees it."""
    healthy: dict[str, object] = {
        "cov_re": np.array([[0.5]]),
        "scale": 1.0,
        "fe_params": np.array([0.1, 0.2, 0.3]),
        "bse_fe": np.array([0.1, 0.1, 0.1]),
        "converged": True,
    }
    return SimpleNamespace(**(healthy | changed))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"cov_re": np.array([[9e-9]])}, "collapses to 0"),
        ({"cov_re": np.array([[np.nan]])}, "collapses to 0"),
        ({"scale": 0.0}, "collapses to 0"),
        ({"fe_params": np.array([0.0, 0.0, 0.3])}, "come back as exactly 0"),
        ({"fe_params": np.array([0.1, 0.0, 0.3])}, "come back as exactly 0"),
        ({"fe_params": np.array([0.1, 0.2, 0.0])}, ""),  # within base sets, 0 is a possible estimate
        ({"converged": False}, "did not converge"),
        ({"bse_fe": np.array([0.1, np.nan, 0.1])}, "standard error is missing"),
    ],
)
def test_guard_finds_each_failure(changed: dict[str, object], reason: str) -> None:
    design = np.stack([np.ones(GROUPS * EACH), BETWEEN.values, WITHIN.values], axis=1)
    found = _failure(fitted(**changed), design, OF)
    assert reason in found
    assert bool(found) == bool(reason)


@pytest.mark.parametrize(
    ("values", "terms", "sets", "reason"),
    [
        ([0.1] * 4, [], ["a", "b", "c", "d"], "fewer than 5 base sets"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [], list("abcde"), "single context"),
        ([0.1] * 12, [], list("abcdef") * 2, "all gains are equal"),
        (
            np.arange(12) / 100,
            [Term("one", np.arange(12.0)), Term("two", 2.0 * np.arange(12.0))],
            list("abcdef") * 2,
            "linear combinations",
        ),
    ],
)
def test_data_that_cannot_be_fitted_have_a_reason(
    values: npt.ArrayLike, terms: list[Term], sets: list[str], reason: str
) -> None:
    found = fit_mixed_model(values, terms, sets)
    assert reason in found.reason
    assert not found.effects


def test_missing_statsmodels_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.regression.mixed_linear_model", None)
    assert "distillab[stats]" in fit_mixed_model(gains(0, between=0.01), [WITHIN], SETS).reason
