"""Dose-response curves: the gain over the levels of one factor, with everything else held fixed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from distillab.evidence.contrast import differences_of
from distillab.evidence.draws import FloatArray
from distillab.evidence.gains import NO_DIFFERENCE, Gain
from distillab.evidence.pairs import (
    FACTOR,
    PLACE_COLUMNS,
    Row,
    Runs,
    by_cell,
    cell_columns,
    factor_columns,
    pairs,
)
from distillab.evidence.verdicts import Verdict, judge
from distillab.tasks import Metric

PERMUTATIONS = 9_999
PERMUTATION_BATCH = 3_333


@dataclass(frozen=True)
class CurvePoint:
    """One level of a factor: the paired gain, and the mean metric of both methods over the same seeds."""

    level: float
    gain: Gain
    verdict: Verdict
    plain_mean: float
    distilled_mean: float


@dataclass(frozen=True)
class Trend:
    """How the gains of single seeds change with the level.

    Attributes:
        slope: Least-squares slope within seeds: change of the gain per tenfold increase of the level if
            ``log_scale``, else per unit.
        log_scale: Whether the levels are positive and span at least a decade.
        rank_correlation: Spearman's, over all gains of single seeds; 0 if they are all equal.
        p_value: Two-sided permutation p-value of the slope, levels permuted within seeds.
        p_any: Permutation p-value of any dependence on the level, including one that rises and falls.
        n_seeds: Seeds with at least two levels.

    Example:
        >>> gains = {1.0: {0: 0.01, 1: 0.02}, 2.0: {0: 0.03, 1: 0.04}}
        >>> round(fit_trend(gains).slope, 3)
        0.02
    """

    slope: float
    log_scale: bool
    rank_correlation: float
    p_value: float
    p_any: float
    n_seeds: int


@dataclass(frozen=True)
class Curve:
    """The gain of one method over the levels of one factor, in one setting.

    Attributes:
        factor: Registered name of the factor.
        dataset: Name of the dataset.
        provenance: What the teacher learned from.
        teacher: Model of the teacher.
        student: Model of the student.
        method: The method, compared with ``baseline``.
        baseline: The method that plain students are trained with.
        metric: Column of the metric.
        held: Levels at which the other factors are held, as (factor, level) pairs.
        points: The points, by level.
        trend: The trend over levels; None if fewer than two seeds have at least two levels.

    Example:
        >>> Curve("size", "d", "full", "t", "s", "kd", "ce", "accuracy", (), (), trend=None).factor
        'size'
    """

    factor: str
    dataset: str
    provenance: str
    teacher: str
    student: str
    method: str
    baseline: str
    metric: str
    held: tuple[tuple[str, float | str | None], ...]
    points: tuple[CurvePoint, ...]
    trend: Trend | None


def compute_curves(
    rows: Sequence[Row],
    metric: Metric,
    *,
    baseline: str = "ce",
    margin: float = 0.005,
    confidence: float = 0.95,
) -> list[Curve]:
    """Return one curve per factor with at least two levels, method and setting.

    Nothing is averaged over levels of other factors, datasets, provenances, teachers or students: each
    combination has its own curve. Levels that are not numbers cannot be placed on the axis and are omitted,
    and so are levels without a finished pair.

    Args:
        rows: Result rows, as for :func:`distillab.evidence.effects.compute_effects`.
        metric: The metric whose gain is followed.
        baseline: The method to compare with.
        margin: The margin that the study sets.
        confidence: Nominal coverage of the intervals.

    Example:
        >>> from distillab.tasks import Classification
        >>> compute_curves([], Classification.metrics["accuracy"])
        []
    """
    columns = cell_columns(rows)
    cells = by_cell(rows, columns)
    curves = []
    for factor in factor_columns(rows):
        settings: dict[tuple[tuple[str, Any], ...], dict[float, Runs]] = defaultdict(dict)
        for cell, runs in cells.items():
            names = dict(zip(columns, cell, strict=True))
            level = names.pop(factor)
            if isinstance(level, (int, float)) and not math.isnan(level):
                settings[tuple(names.items())][float(level)] = runs
        for setting, by_level in settings.items():
            for method in dict.fromkeys(name for runs in by_level.values() for name in runs):
                paired = _pairs_by_level(by_level, method, baseline, metric.name)
                if method == baseline or len(paired) < 2:
                    continue
                curves.append(
                    Curve(
                        factor=factor.removeprefix(FACTOR),
                        **{key: value for key, value in setting if key in PLACE_COLUMNS},
                        method=method,
                        baseline=baseline,
                        metric=metric.name,
                        held=tuple((k.removeprefix(FACTOR), v) for k, v in setting if k.startswith(FACTOR)),
                        points=tuple(
                            _point(x, paired[x], metric, margin, confidence) for x in sorted(paired)
                        ),
                        trend=fit_trend(_gains_by_seed(paired, metric.name)),
                    )
                )
    return curves


def fit_trend(gains: dict[float, dict[int, float]]) -> Trend | None:
    """Return the trend of paired gains over levels.

    Under the hypothesis that the gain does not depend on the level, the gains of one seed are exchangeable
    among its levels: they are permuted within each seed, 9,999 times with a fixed seed, and the observed
    arrangement is counted with them.

    Args:
        gains: Level -> seed -> paired gain; seeds may lack levels.

    Returns:
        The trend, or None if fewer than two seeds have at least two levels.

    Example:
        >>> trend = fit_trend({10.0: {0: 0.05, 1: 0.06}, 100.0: {0: 0.02, 1: 0.03}})
        >>> round(trend.slope, 3), trend.log_scale
        (-0.03, True)
    """
    levels = sorted(gains)
    log_scale = bool(levels and levels[0] > 0 and levels[-1] >= 10 * levels[0])
    axis = np.log10(levels) if log_scale else np.array(levels, dtype=np.float64)
    seeds = sorted({seed for by_seed in gains.values() for seed in by_seed})
    table = np.array([[gains[x].get(seed, np.nan) for x in levels] for seed in seeds], dtype=np.float64)
    if not len(table):
        return None
    table = table[np.isfinite(table).sum(axis=1) > 1]
    if len(table) < 2:
        return None
    present = np.isfinite(table)
    x = np.broadcast_to(axis, table.shape)
    centered = x - np.nanmean(np.where(present, x, np.nan), axis=1, keepdims=True)
    rises = float((centered * table)[present].sum())
    slope = rises / float((centered[present] ** 2).sum())
    flat = np.ptp(table[present]) < NO_DIFFERENCE
    rank = 0.0 if flat else float(stats.spearmanr(x[present], table[present]).statistic)
    p_value, p_any = _permutation_p(table, centered)
    return Trend(slope, log_scale, rank, p_value, p_any, len(table))


def _permutation_p(table: FloatArray, centered: FloatArray) -> tuple[float, float]:
    """Return the p-values of the slope and of any difference between levels.

    Args:
        table: Gains, ``[seeds, levels]``, NaN where missing.
        centered: Positions of the levels, centered per seed, of the same shape.
    """
    rng = np.random.default_rng(len(table))
    gains = table - np.nanmean(table, axis=1, keepdims=True)  # the mean of a seed does not depend on levels
    present = np.isfinite(gains)
    counts = present.sum(axis=0)
    kept = counts > 0

    def statistics(sums: FloatArray, rises: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.abs(rises), (sums[:, kept] ** 2 / counts[kept]).sum(axis=1)

    filled = np.where(present, gains, 0.0)
    slope, spread = statistics(filled.sum(axis=0)[None], np.array([(filled * centered).sum()]))
    tolerance = 1e-9 * (slope + np.abs(filled * centered).sum()), 1e-9 * (spread + (filled**2).sum())
    extreme = np.ones(2)
    for _ in range(PERMUTATIONS // PERMUTATION_BATCH):
        sums, rises = np.zeros((PERMUTATION_BATCH, table.shape[1])), np.zeros(PERMUTATION_BATCH)
        for row, where, x in zip(gains, present, centered, strict=True):
            shuffled = rng.permuted(np.broadcast_to(row[where], (PERMUTATION_BATCH, where.sum())), axis=1)
            sums[:, where] += shuffled
            rises += shuffled @ x[where]
        slopes, spreads = statistics(sums, rises)
        extreme += [(slopes >= slope - tolerance[0]).sum(), (spreads >= spread - tolerance[1]).sum()]
    p_value, p_any = extreme / (PERMUTATIONS + 1)
    return float(p_value), float(p_any)


def _pairs_by_level(
    by_level: dict[float, Runs], method: str, baseline: str, column: str
) -> dict[float, list[tuple[Row, Row]]]:
    """Return the (distilled, plain) rows of each level that has a finished pair."""
    paired = {x: pairs(runs.get(method, {}), runs.get(baseline, {}), column) for x, runs in by_level.items()}
    return {x: rows for x, rows in paired.items() if rows}


def _gains_by_seed(paired: dict[float, list[tuple[Row, Row]]], column: str) -> dict[float, dict[int, float]]:
    return {x: {d["seed"]: d[column] - p[column] for d, p in rows} for x, rows in paired.items()}


def _point(
    level: float, paired: list[tuple[Row, Row]], metric: Metric, margin: float, confidence: float
) -> CurvePoint:
    after, before = [d[metric.name] for d, _ in paired], [p[metric.name] for _, p in paired]
    gain = differences_of(paired, metric).gain(confidence)
    verdict = judge(gain, metric.margin_for(margin), metric.higher_is_better)
    return CurvePoint(level, gain, verdict, float(np.mean(before)), float(np.mean(after)))
