"""Posterior, extrapolation and decision: closed forms, and when the adviser abstains."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from distillab.advise import GainEstimate, combine, decide
from distillab.advise.decision import region_of
from distillab.advise.extrapolation import extrapolated_gain, is_monotone
from distillab.advise.pilot import ASSUMED_DEVIATION, LengthError, PilotArm, arm_of_differences, extrapolate
from distillab.advise.what_if import WhatIfPoint, from_prior
from distillab.evidence.draws import Variance

MARGIN = 0.005


def _decided(mean: float, deviation: float, **more: object) -> str:
    posterior = combine(None, GainEstimate(mean, Variance(deviation**2)))
    assert posterior is not None
    return decide({"kd": posterior}, margin=MARGIN, **more).verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mean", "deviation", "verdict"),
    [
        (0.02, 0.005, "distil"),
        (0.02, 0.02, "undecided"),
        (0.0, 0.001, "plain"),
        (-0.02, 0.005, "plain"),
        (0.005, 0.001, "undecided"),
        (0.02, math.inf, "undecided"),
    ],
)
def test_verdict_follows_from_where_the_interval_lies(mean: float, deviation: float, verdict: str) -> None:
    assert _decided(mean, deviation) == verdict


def test_a_failed_check_leaves_a_clear_gain_undecided() -> None:
    assert _decided(0.02, 0.001) == "distil"
    assert _decided(0.02, 0.001, failed_checks=["The teacher is at chance."]) == "undecided"


def test_too_few_base_sets_make_the_interval_unbounded() -> None:
    assert _decided(0.05, 0.001, scale=math.inf) == "undecided"


def test_nothing_known_is_undecided() -> None:
    found = decide({}, margin=MARGIN)
    assert (found.verdict, found.method) == ("undecided", "") and math.isnan(found.gain)
    assert found.reasons == ("There is no estimate of the gain.",)


def test_posterior_is_the_precision_weighted_mean() -> None:
    both = combine(GainEstimate(0.0, Variance(3e-4)), GainEstimate(0.04, Variance(1e-4)))
    assert both is not None
    assert both.pilot_weight == pytest.approx(0.75)
    assert both.estimate.mean == pytest.approx(0.03)
    assert both.estimate.variance.value == pytest.approx(0.75e-4)


@pytest.mark.parametrize("one", ["prior", "pilot"])
def test_a_single_source_stands_alone(one: str) -> None:
    estimate = GainEstimate(0.01, Variance(1e-4, 3.0))
    found = combine(estimate if one == "prior" else None, estimate if one == "pilot" else None)
    assert found is not None and found.estimate is estimate
    assert found.pilot_weight == (one == "pilot")


def test_a_pilot_of_one_pair_changes_nothing() -> None:
    prior = GainEstimate(0.01, Variance(1e-4, 7.0))
    pilot = extrapolate(arm_of_differences("kd", 1.0, np.array([0.3])), LengthError())
    found = combine(prior, pilot)
    assert found is not None and found.pilot_weight == 0.0
    assert (found.estimate.mean, found.estimate.variance.value) == (0.01, 1e-4)


def test_short_pilots_are_less_certain_than_full_ones() -> None:
    arms = {share: PilotArm("kd", 5, share, 0.02, Variance(1e-4, 4.0)) for share in (0.125, 0.5, 1.0)}
    variances = [extrapolate(arm, LengthError()).variance.value for arm in arms.values()]
    assert variances == pytest.approx([1e-4 + 3 * ASSUMED_DEVIATION**2, 1e-4 + ASSUMED_DEVIATION**2, 1e-4])


def test_measured_length_errors_correct_the_bias() -> None:
    length = LengthError((0.25, 1.0), (-0.01, 0.0), (4e-4, 1e-6), 6)
    assert length.at(0.25) == pytest.approx((-0.01, 4e-4))
    assert length.at(0.5)[1] == pytest.approx((4e-4 + 1e-6) / 2)
    assert length.at(0.0625)[1] == pytest.approx(4e-4 + 2 * ASSUMED_DEVIATION**2)


def _arms(gains: dict[float, float], deviation: float = 0.001) -> dict[float, PilotArm]:
    return {
        share: PilotArm("kd", 5, share, gain, Variance(deviation**2, 4.0)) for share, gain in gains.items()
    }


def test_forms_agree_on_a_constant_gain() -> None:
    found = extrapolated_gain(_arms({0.125: 0.02, 0.25: 0.02, 0.5: 0.02}))
    assert found.mean == pytest.approx(0.02) and found.variance == pytest.approx(0.0, abs=1e-12)


def test_forms_disagree_on_a_growing_gain_by_as_much_as_they_differ() -> None:
    found = extrapolated_gain(_arms({0.25: 0.01, 0.5: 0.02}))
    assert found.forms == pytest.approx({"last value": 0.02, "logarithm": 0.03, "decay": 0.025})
    assert found.variance == pytest.approx(np.var([0.02, 0.03, 0.025], ddof=1))


def test_a_full_training_is_not_extrapolated() -> None:
    assert extrapolated_gain(_arms({0.5: 0.01, 1.0: 0.03})).forms == {"last value": 0.03}


def test_a_curve_that_turns_back_is_reported_and_not_fitted() -> None:
    found = extrapolated_gain(_arms({0.125: 0.0, 0.25: 0.03, 0.5: 0.0}))
    assert not found.monotone and found.forms == {"last value": 0.0}
    assert is_monotone(np.array([0.0, 0.03, 0.0]), np.full(3, 0.05)), "within its errors it is monotone"


@pytest.mark.parametrize(
    ("gain", "region"), [(0.006, "helps"), (0.005, "equivalent"), (-0.005, "equivalent"), (-0.006, "harms")]
)
def test_region_is_relative_to_the_margin(gain: float, region: str) -> None:
    assert region_of(gain, MARGIN) == region


def test_amounts_that_were_not_studied_are_null_in_json() -> None:
    facts = {"n_train": 100, "steps": 800, "profile.images": 100.0, "profile.images_per_class_median": 20.0}
    grid = from_prior(
        facts,
        WhatIfPoint(0.02, 0.01, 0.03),
        lambda _: GainEstimate(0.01, Variance(1e-4)),
        lambda changed: changed["profile.images_per_class_median"] > 50,
    )
    written = json.loads(json.dumps(grid.as_dict(), allow_nan=False))
    known = [row[0][0] is not None for row in written["points"]]
    assert written["data"] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert known == [True, True, True, True, False]
