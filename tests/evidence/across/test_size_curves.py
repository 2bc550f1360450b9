"""Curves over sizes: forms, data multiplier, break-even, refusals, and curves that fall."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from distillab.evidence.across import (
    BreakEven,
    Refused,
    SizeComparison,
    check_monotone,
    compare_over_sizes,
    fit_size_curve,
)
from distillab.evidence.across.curve_forms import (
    ARCTAN,
    CURVE_FORMS,
    INVERSE_POWER,
    LOGARITHM,
    CurveForm,
    fit_form,
)

SIZES = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
Values = npt.NDArray[np.float64]


def power(n: npt.ArrayLike) -> Values:
    return np.asarray(0.85 - 0.9 * np.asarray(n) ** -0.4)


def noise(seed: int, seeds: int = 6, spread: float = 0.006, sizes: int = 5) -> Values:
    return np.random.default_rng(seed).normal(0, spread, (seeds, sizes))


def compared(plain: Values, distilled: Values, **keys: int) -> SizeComparison:
    found = compare_over_sizes(SIZES, plain, distilled, **keys)  # type: ignore[arg-type]
    assert isinstance(found, SizeComparison)
    return found


@pytest.mark.parametrize(
    ("form", "theta"),
    [(INVERSE_POWER, (0.8, 0.2, 0.7)), (LOGARITHM, (0.5, 0.06)), (ARCTAN, (-0.3, 1.5, 0.8))],
    ids=lambda value: value.name if isinstance(value, CurveForm) else "",
)
def test_parameters_of_each_form_are_recovered(form: CurveForm, theta: tuple[float, ...]) -> None:
    n = SIZES / np.exp(np.log(SIZES).mean())
    found, cost = fit_form(form, n, form.predict(n, np.array(theta)), np.full(5, 0.001))
    assert found == pytest.approx(theta, abs=1e-3)
    assert cost < 1e-3


@pytest.mark.parametrize("form", [INVERSE_POWER, LOGARITHM], ids=lambda form: form.name)
def test_form_that_made_the_data_gets_the_largest_weight(form: CurveForm) -> None:
    theta = np.array({INVERSE_POWER: (0.8, 0.2, 0.9), LOGARITHM: (0.5, 0.08)}[form])
    n = SIZES / np.exp(np.log(SIZES).mean())
    curve = fit_size_curve(SIZES, form.predict(n, theta) + noise(0, spread=0.001))
    assert max(curve.forms, key=lambda each: each.weight).form is form
    assert sum(each.weight for each in curve.forms) == pytest.approx(1.0)


def test_extrapolation_to_four_times_the_size_is_close() -> None:
    curve = fit_size_curve(SIZES, power(SIZES) + noise(1, spread=0.003))
    assert curve.at(640) == pytest.approx(float(power(640.0)), abs=0.02)


@pytest.mark.parametrize(
    ("size", "kind"), [(641, "too far"), (9.9, "too small"), (640, None), (10, None), (55, None)]
)
def test_predictions_outside_the_studied_range_are_refused(size: float, kind: str | None) -> None:
    found = fit_size_curve(SIZES, power(SIZES) + noise(1)).at(size)
    assert (found.kind if isinstance(found, Refused) else None) == kind


def test_one_size_that_went_wrong_does_not_bend_the_curve() -> None:
    sizes = 10.0 * 2.0 ** np.arange(8)
    scores = power(sizes) + noise(2, sizes=8, spread=0.002)
    clean = fit_size_curve(sizes, scores).predict(sizes[-1:])
    scores[:, 3] -= 0.05
    assert fit_size_curve(sizes, scores).predict(sizes[-1:]) == pytest.approx(clean, abs=0.01)


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.0, 3.0])
def test_data_multiplier_is_the_planted_one(factor: float) -> None:
    found = compared(power(SIZES) + noise(3), power(factor * SIZES) + noise(4))
    for each in found.multipliers[1:3]:
        assert each.value == pytest.approx(factor, rel=0.15)
        assert each.ci_low <= each.value <= each.ci_high


def test_intervals_of_the_multiplier_cover_the_planted_one() -> None:
    covered = []
    for seed in range(20):
        found = compared(
            power(SIZES) + noise(2 * seed), power(2 * SIZES) + noise(2 * seed + 1), resamples=199
        )
        middle = found.multipliers[2]
        covered.append(middle.ci_low <= 2.0 <= middle.ci_high)
    assert np.mean(covered) >= 0.85


def test_multiplier_beyond_four_times_the_largest_size_is_a_bound() -> None:
    found = compared(power(SIZES) + noise(5), power(12 * SIZES) + noise(6)).multipliers[-1]
    assert found.refused is not None
    assert found.refused.kind == "too far"
    assert found.bound == pytest.approx(4.0)
    assert np.isnan(found.value)
    assert np.isinf(found.ci_high)


def test_multiplier_below_the_smallest_size_is_a_bound() -> None:
    found = compared(power(SIZES) + noise(5), power(0.5 * SIZES) + noise(6)).multipliers[0]
    assert found.refused is not None
    assert found.refused.kind == "too small"
    assert found.bound == pytest.approx(1.0)


def test_break_even_is_where_the_planted_gain_vanishes() -> None:
    gain = 0.05 - 0.012 * np.log2(SIZES / 5)  # zero at 5 * 2^(25/6) = 89.8
    found = compared(power(SIZES) + noise(7), power(SIZES) + gain + noise(8)).break_even
    assert isinstance(found, BreakEven)
    assert found.size == pytest.approx(89.8, rel=0.25)
    assert found.ci_low <= found.size <= found.ci_high
    assert found.helps_below
    assert not found.extrapolated


def test_break_even_can_lie_the_other_way() -> None:
    gain = -0.05 + 0.012 * np.log2(SIZES / 5)
    found = compared(power(SIZES) + noise(7), power(SIZES) + gain + noise(8)).break_even
    assert isinstance(found, BreakEven)
    assert not found.helps_below


def test_gain_of_one_sign_has_no_break_even() -> None:
    found = compared(power(SIZES) + noise(3), power(2 * SIZES) + noise(4)).break_even
    assert isinstance(found, Refused)
    assert found.kind == "no crossing"


@pytest.mark.parametrize("arm", ["plain", "distilled"])
def test_curve_that_falls_has_no_multiplier(arm: str) -> None:
    fallen = power(SIZES) + np.array([0, 0, 0, 0, -0.15]) + noise(9)
    usual = power(SIZES) + noise(10)
    found = compared(*((fallen, usual) if arm == "plain" else (usual, fallen)))
    assert isinstance(found.break_even, Refused)
    assert found.break_even.kind == "not monotone"
    assert "from 80 to 160" in found.break_even.reason
    assert all(each.refused is found.break_even for each in found.multipliers)


def test_plain_students_that_do_not_improve_with_size_have_no_multiplier() -> None:
    found = compared(0.6 + noise(11), 0.65 + noise(12))
    assert isinstance(found.break_even, Refused)
    assert found.break_even.kind == "flat"


def test_crossing_within_the_noise_is_not_stated() -> None:
    found = compared(power(SIZES) + noise(13), power(SIZES) + noise(14))
    assert isinstance(found.break_even, Refused)


def test_few_seeds_have_no_interval() -> None:
    found = compared(power(SIZES) + noise(3, 4), power(2 * SIZES) + noise(4, 4)).multipliers[2]
    assert found.value == pytest.approx(2.0, rel=0.3)
    assert (found.ci_low, found.ci_high) == (0.0, np.inf)


def test_three_sizes_are_too_few() -> None:
    found = compare_over_sizes(SIZES[:3], power(SIZES[:3])[None], power(SIZES[:3])[None])
    assert isinstance(found, Refused)
    assert found.kind == "too few sizes"


@pytest.mark.parametrize(
    ("sizes", "scores", "message"),
    [
        (SIZES[::-1], np.full((2, 5), 0.5), "increase"),
        (SIZES, np.full((2, 4), 0.5), "must be"),
        (SIZES, np.full((2, 5), np.nan), "NaN"),
        (SIZES, np.full((2, 5), 1.5), r"\[0, 1\]"),
        (SIZES[:3], np.full((2, 3), 0.5), "at least 4"),
    ],
)
def test_bad_curves_are_refused(sizes: Values, scores: Values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_size_curve(sizes, scores)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_flat_curves_are_rarely_called_falling(seeds: int) -> None:
    # Equal true scores are the worst case among curves that never fall.
    falls = [check_monotone(SIZES, 0.6 + noise(seed, seeds)).falls for seed in range(300)]
    assert np.mean(falls) <= 0.10


def test_noise_that_differs_between_sizes_is_allowed_for() -> None:
    spread = np.array([3.0, 2.0, 1.0, 1.0, 0.5])
    falls = [check_monotone(SIZES, 0.6 + spread * noise(seed)).falls for seed in range(300)]
    assert np.mean(falls) <= 0.10


def test_rising_curves_are_not_called_falling() -> None:
    assert not any(check_monotone(SIZES, power(SIZES) + noise(seed)).falls for seed in range(100))


def test_fall_of_two_points_is_detected_and_placed() -> None:
    dipped = np.array([0.50, 0.60, 0.65, 0.63, 0.66])
    found = [check_monotone(SIZES, dipped + noise(seed)) for seed in range(100)]
    assert np.mean([each.falls for each in found]) >= 0.9
    placed = [(each.fall_from, each.fall_to) == (40.0, 80.0) for each in found if each.falls]
    assert np.mean(placed) >= 0.95


def test_seeds_that_share_an_offset_do_not_hide_a_fall() -> None:
    offsets = np.random.default_rng(0).normal(0, 0.05, (6, 1))
    dipped = np.array([0.50, 0.60, 0.65, 0.63, 0.66])
    assert check_monotone(SIZES, dipped + offsets + noise(1)).falls


def test_errors_fall_where_they_should_rise() -> None:
    assert not check_monotone(SIZES, 1 - power(SIZES) + noise(0), higher_is_better=False).falls
    assert check_monotone(SIZES, power(SIZES) + noise(0), higher_is_better=False).falls


def test_single_seed_decides_nothing() -> None:
    found = check_monotone(SIZES, [[0.9, 0.8, 0.7, 0.6, 0.5]])
    assert not found.falls
    assert np.isnan(found.p_value)


def test_all_forms_never_fall() -> None:
    rng = np.random.default_rng(0)
    n = np.geomspace(0.1, 40, 50)
    for form in CURVE_FORMS:
        low, high = np.array(form.low), np.minimum(form.high, 3.0)
        for _ in range(50):
            assert (np.diff(form.predict(n, rng.uniform(low, high))) >= -1e-12).all()
