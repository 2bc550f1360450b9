"""Harms by class: the test, the correction and the direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillab.evidence.harms import class_harms
from distillab.evidence.verdicts import benjamini_hochberg


def arms(shifts: list[float], seeds: int = 6, noise: float = 0.01):
    rng = np.random.default_rng(0)
    plain = rng.uniform(0.5, 0.8, size=(seeds, len(shifts)))
    return plain + np.array(shifts) + rng.normal(0, noise, plain.shape), plain


def test_losing_and_gaining_classes_are_found():
    names = ["cat", "dog", "ship", "frog"]
    harms = class_harms(*arms([-0.1, 0.1, 0.0, 0.0]), names)
    assert [harm.name for harm in harms] == names
    assert [harm.change for harm in harms] == ["loses", "gains", "undecided", "undecided"]
    assert harms[0].ci_low < harms[0].gain < harms[0].ci_high < 0


def test_the_test_is_the_paired_t_test_corrected_over_classes():
    distilled, plain = arms([0.02, -0.01, 0.0, 0.005, 0.0], noise=0.02)
    harms = class_harms(distilled, plain, list("abcde"))
    expected = stats.ttest_rel(distilled, plain, axis=0).pvalue
    np.testing.assert_allclose([harm.p_value for harm in harms], expected, rtol=1e-9)
    np.testing.assert_allclose([harm.p_adjusted for harm in harms], benjamini_hochberg(expected), rtol=1e-9)


def test_false_discoveries_are_rare_without_any_effect():
    rng = np.random.default_rng(1)
    any_found = [
        any(
            h.change != "undecided"
            for h in class_harms(*rng.normal(0.5, 0.02, (2, 6, 20)), list("abcdefghijklmnopqrst"))
        )
        for _ in range(200)
    ]
    assert np.mean(any_found) < 0.1  # nominal 0.05, standard error 0.015


def test_a_class_without_test_images_has_no_verdict_and_does_not_count_as_a_test():
    distilled, plain = arms([-0.1, 0.0])
    distilled[:, 1] = plain[:, 1] = math.nan
    lost, absent = class_harms(distilled, plain, ["a", "b"])
    assert (absent.n_pairs, absent.change) == (0, "undecided")
    assert math.isnan(absent.gain)
    assert lost.p_adjusted == lost.p_value


def test_equal_changes_need_a_step_to_be_judged_by():
    plain = np.full((6, 1), 0.5)
    (fine,) = class_harms(plain - 0.1, plain, ["a"], resolution=0.01)
    (coarse,) = class_harms(plain - 0.1, plain, ["a"], resolution=[0.5])
    assert fine.change == "loses"
    assert coarse.change == "undecided"
    (unchanged,) = class_harms(plain, plain, ["a"])
    assert (unchanged.p_value, unchanged.change) == (1.0, "undecided")


def test_one_seed_decides_nothing():
    (harm,) = class_harms([[0.1]], [[0.9]], ["a"])
    assert (harm.ci_low, harm.ci_high, harm.change) == (-math.inf, math.inf, "undecided")


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="need"):
        class_harms(np.zeros((3, 2)), np.zeros((3, 2)), ["a"])
