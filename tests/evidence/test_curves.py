"""Dose-response curves: what is held fixed, and whether the gain changes with the level."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from distillab.evidence.curves import Curve, Trend, compute_curves, fit_trend
from distillab.evidence.gains import paired_gain
from distillab.evidence.pairs import Row
from distillab.tasks import Classification


def curves(rows: Sequence[Row]) -> list[Curve]:
    return compute_curves(rows, Classification.metrics["accuracy"])


def trend(gains: dict[float, dict[int, float]]) -> Trend:
    found = fit_trend(gains)
    assert found is not None
    return found


def rows(
    gain: Callable[[float], float],
    levels: Sequence[float],
    *,
    noise: float = 0.002,
    columns: Row | None = None,
) -> list[Row]:
    """Return result rows with the planted gain of each level."""
    rng = np.random.default_rng(0)
    made: list[Row] = []
    other = columns or {}
    for level, seed in itertools.product(levels, range(6)):
        plain = 0.5 + rng.normal(0, 0.02)
        distilled = plain + gain(level) + rng.normal(0, noise)
        for method, accuracy in (("ce", plain), ("kd", distilled)):
            made.append(
                {
                    "run_id": f"{method}{seed}{level}{other}",
                    "dataset": "d",
                    "factor.size": float(level),
                    "provenance": "full",
                    "teacher": "t",
                    "student": "s",
                    "method": method,
                    "seed": seed,
                    "status": "done",
                    "accuracy": accuracy,
                }
                | other
            )
    return made


def planted(gain: float) -> Callable[[float], float]:
    """Return a gain that does not depend on the level."""
    return lambda _: gain


def test_curve_has_the_paired_gain_of_every_level() -> None:
    table = rows(lambda level: 0.1 - level / 10_000, [400, 25, 100])
    (curve,) = curves(table)
    assert [point.level for point in curve.points] == [25, 100, 400]
    assert (curve.factor, curve.method, curve.baseline, curve.held) == ("size", "kd", "ce", ())
    at = [row for row in table if row["factor.size"] == 100]
    after, before = ([r["accuracy"] for r in at if r["method"] == m] for m in ("kd", "ce"))
    assert curve.points[1].gain == paired_gain(after, before)
    assert curve.points[1].plain_mean == pytest.approx(np.mean(before))
    assert curve.points[1].distilled_mean == pytest.approx(np.mean(after))
    assert {point.verdict for point in curve.points} == {"helps"}


def test_other_factors_are_held_fixed_and_not_averaged_over() -> None:
    table = [
        row
        for noise in (0.0, 0.4)
        for row in rows(planted(0.01 + noise / 10), [25, 100], columns={"factor.label_noise": noise})
    ]
    found = curves(table)
    by_size = {curve.held: curve for curve in found if curve.factor == "size"}
    assert set(by_size) == {(("label_noise", 0.0),), (("label_noise", 0.4),)}
    assert by_size[("label_noise", 0.4),].points[0].gain.gain == pytest.approx(0.05, abs=0.003)
    assert {curve.held for curve in found if curve.factor == "label_noise"} == {
        (("size", 25.0),),
        (("size", 100.0),),
    }


@pytest.mark.parametrize("column", ["dataset", "provenance", "teacher", "student"])
def test_settings_have_their_own_curves(column: str) -> None:
    table = rows(planted(0.01), [25, 100]) + rows(planted(0.05), [25, 100], columns={column: "other"})
    found = curves(table)
    assert [getattr(curve, column) == "other" for curve in found] == [False, True]
    assert [round(curve.points[0].gain.gain, 2) for curve in found] == [0.01, 0.05]


def test_single_levels_and_unfinished_levels_are_omitted() -> None:
    assert curves(rows(planted(0.1), [25])) == []
    table = rows(planted(0.1), [25, 100, 400])
    for row in table:
        row["status"] = "failed" if row["factor.size"] == 100 else "done"
    assert [point.level for point in curves(table)[0].points] == [25, 400]


def test_levels_that_span_a_decade_are_on_a_log_scale() -> None:
    trends = [curves(rows(planted(0.1), levels))[0].trend for levels in ([10, 100], [10, 99], [0, 99])]
    assert [each.log_scale for each in trends if each] == [True, False, False]


def test_planted_trend_is_recovered() -> None:
    (curve,) = curves(rows(lambda level: 0.10 - 0.03 * np.log10(level / 25), [25, 250, 2500], noise=1e-5))
    assert curve.trend is not None
    assert curve.trend.slope == pytest.approx(-0.03, abs=1e-4)
    assert curve.trend.rank_correlation < -0.9
    assert max(curve.trend.p_value, curve.trend.p_any) < 0.001
    assert curve.trend.n_seeds == 6


def test_gain_that_rises_and_falls_has_a_small_p_any_only() -> None:
    gains = {
        x: {s: (0.1 if x == 2 else 0.0) + 0.001 * (s * x % 5) for s in range(6)} for x in (1.0, 2.0, 3.0)
    }
    found = trend(gains)
    assert found.p_value > 0.05
    assert found.p_any < 0.01


def test_slope_is_least_squares_within_seeds_with_missing_levels() -> None:
    rng = np.random.default_rng(4)
    gains = {
        x: {s: s + 0.5 * x + rng.normal() for s in range(5) if (s + x) % 4} for x in (1.0, 2.0, 3.0, 5.0)
    }
    cells = [(x, s, g) for x, by in gains.items() for s, g in by.items()]
    design = np.array([[x, *(float(s == k) for k in range(5))] for x, s, _ in cells])
    expected = np.linalg.lstsq(design, np.array([g for _, _, g in cells]), rcond=None)[0][0]
    found = trend(gains)
    assert found.slope == pytest.approx(expected)
    assert found.rank_correlation == pytest.approx(
        stats.spearmanr([x for x, _, _ in cells], [g for _, _, g in cells]).statistic
    )


def test_permutation_p_agrees_with_full_enumeration() -> None:
    values = np.array([[0.1, 0.3, 0.2], [0.0, 0.1, 0.3], [0.2, 0.1, 0.4]])
    axis = np.array([1.0, 2.0, 3.0])
    everything = [
        abs(sum(np.dot(axis - 2, row) for row in rows))
        for rows in itertools.product(*(list(itertools.permutations(row)) for row in values))
    ]
    exact = np.mean(np.array(everything) >= abs(((axis - 2) * values).sum()) - 1e-12)
    found = trend({x: dict(enumerate(values[:, i])) for i, x in enumerate(axis)})
    assert found.p_value == pytest.approx(exact, abs=0.02)


def test_trend_keeps_its_level_when_the_gain_is_constant() -> None:
    rng = np.random.default_rng(5)
    p = []
    for _ in range(300):
        seeds = rng.normal(size=6)  # a seed's gains share a shift, which permuting within seeds allows for
        found = trend({x: {s: seeds[s] + rng.normal() for s in range(6)} for x in (1.0, 2.0, 3.0)})
        p.append((found.p_value, found.p_any))
    assert np.all(np.mean(np.array(p) <= 0.05, axis=0) < 0.09)  # standard error 0.013


def test_no_trend_from_one_seed_and_a_flat_one_from_equal_gains() -> None:
    assert fit_trend({1.0: {0: 0.1}, 2.0: {0: 0.2}}) is None
    assert fit_trend({1.0: {0: 0.1, 1: 0.2}}) is None
    assert fit_trend({}) is None
    flat = trend({x: dict.fromkeys(range(4), 0.1) for x in (1.0, 2.0)})
    assert flat.slope == pytest.approx(0)
    assert (flat.rank_correlation, flat.p_value, flat.p_any) == (0.0, 1.0, 1.0)
