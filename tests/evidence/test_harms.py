"""Harms per class: the test, the correction and the direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillab.evidence.draws import FloatArray
from distillab.evidence.harms import class_harms
from distillab.evidence.verdicts import benjamini_hochberg


def runs(shifts: list[float], seeds: int = 6, noise: float = 0.01) -> tuple[FloatArray, FloatArray]:
    """Return accuracies per class of distilled and plain runs, with the given mean gains."""
    rng = np.random.default_rng(0)
    plain = rng.uniform(0.5, 0.8, size=(seeds, len(shifts)))
    return plain + np.array(shifts) + rng.normal(0, noise, plain.shape), plain


def test_losing_and_gaining_classes_are_found() -> None:
    names = ["cat", "dog", "ship", "frog"]
    harms = class_harms(*runs([-0.1, 0.1, 0.0, 0.0]), names)
    assert [harm.name for harm in harms] == names
    assert [harm.direction for harm in harms] == ["loses", "gains", "undecided", "undecided"]
    assert harms[0].ci_low < harms[0].gain < harms[0].ci_high < 0


def test_p_values_are_paired_t_tests_corrected_over_classes() -> None:
    distilled, plain = runs([0.02, -0.01, 0.0, 0.005, 0.0], noise=0.02)
    harms = class_harms(distilled, plain, list("abcde"))
    expected = stats.ttest_rel(distilled, plain, axis=0).pvalue
    np.testing.assert_allclose([harm.p_value for harm in harms], expected, rtol=1e-9)
    np.testing.assert_allclose([harm.p_adjusted for harm in harms], benjamini_hochberg(expected), rtol=1e-9)


def test_few_teachers_are_draws_for_classes_too() -> None:
    rng = np.random.default_rng(2)
    teachers, found = [seed % 2 for seed in range(10)], np.zeros(2)
    for _ in range(100):
        plain = rng.normal(0.5, 0.01, (10, 6))
        distilled = plain + rng.normal(0, 0.03, (2, 6))[teachers] + rng.normal(0, 0.01, (10, 6))
        for place, used in enumerate((None, teachers)):
            harms = class_harms(distilled, plain, list("abcdef"), teachers=used)
            found[place] += any(harm.direction != "undecided" for harm in harms)
    independent, drawn = found / 100
    assert independent > 0.5 and drawn < 0.1  # nominal 0.05


def test_teachers_of_seeds_without_the_class_are_left_out() -> None:
    distilled, plain = runs([-0.1, 0.0])
    distilled[2:4, 0] = math.nan
    rest = [0, 1, 4, 5]
    teachers = ["a", "b", "c", "c", "a", "b"]
    lost, _ = class_harms(distilled, plain, ["x", "y"], teachers=teachers)
    [alone] = class_harms(distilled[rest, :1], plain[rest, :1], ["x"], teachers=["a", "b", "a", "b"])
    assert (lost.ci_low, lost.p_value) == (alone.ci_low, alone.p_value)


def test_false_discoveries_are_rare_without_any_effect() -> None:
    rng = np.random.default_rng(1)
    any_found = []
    for _ in range(200):
        distilled, plain = rng.normal(0.5, 0.02, (2, 6, 20))
        harms = class_harms(distilled, plain, list("abcdefghijklmnopqrst"))
        any_found.append(any(harm.direction != "undecided" for harm in harms))
    assert np.mean(any_found) < 0.1  # nominal 0.05, standard error 0.015


def test_class_without_test_images_is_not_tested() -> None:
    distilled, plain = runs([-0.1, 0.0])
    distilled[:, 1] = plain[:, 1] = math.nan
    lost, absent = class_harms(distilled, plain, ["a", "b"])
    assert (absent.n_pairs, absent.direction) == (0, "undecided")
    assert math.isnan(absent.gain)
    assert lost.p_adjusted == lost.p_value


def test_equal_changes_are_judged_by_the_step_of_the_test_set() -> None:
    plain = np.full((6, 1), 0.5)
    (fine,) = class_harms(plain - 0.1, plain, ["a"], resolution=0.01)
    (coarse,) = class_harms(plain - 0.1, plain, ["a"], resolution=[0.5])
    assert fine.direction == "loses"
    assert coarse.direction == "undecided"
    (unchanged,) = class_harms(plain, plain, ["a"])
    assert (unchanged.p_value, unchanged.direction) == (1.0, "undecided")


def test_one_seed_decides_nothing() -> None:
    (harm,) = class_harms([[0.1]], [[0.9]], ["a"])
    assert (harm.ci_low, harm.ci_high, harm.direction) == (-math.inf, math.inf, "undecided")


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="must be"):
        class_harms(np.zeros((3, 2)), np.zeros((3, 2)), ["a"])
