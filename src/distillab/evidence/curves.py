"""Dose and response: the gain over the levels of one factor, everything else held."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.gains import Gain, paired_gain
from distillab.evidence.pairs import (
    FACTOR,
    Row,
    Runs,
    by_cell,
    cell_columns,
    factor_columns,
    pairs,
    resolution_of,
)
from distillab.evidence.verdicts import Verdict, verdict
from distillab.tasks.classification import METRICS

Values = npt.NDArray[np.float64]

PERMUTATIONS = 9_999
BATCH = 3_333


@dataclass(frozen=True)
class CurvePoint:
    """One level of a factor: the paired gain there, and the mean metric of both arms over the same seeds."""

    level: float
    gain: Gain
    verdict: Verdict
    plain_mean: float
    distilled_mean: float


@dataclass(frozen=True)
class Trend:
    """How the per-seed gains move with the level.

    Attributes:
        slope: least-squares slope within seeds: change of the gain a tenfold of the level if ``log_scale``,
            else a unit of it.
        log_scale: whether the levels are positive and span a decade or more.
        rank_correlation: Spearman's, over all per-seed gains; 0 if the gains are all equal.
        p_value: two-sided permutation p of the slope, levels permuted within seeds.
        p_any: permutation p of any dependence on the level, also one that rises and falls.
        n_seeds: seeds with at least two levels.
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

    ``held`` names the levels at which the other factors stood, as (factor, level) pairs. ``trend`` is None if
    fewer than two seeds have two levels or more.
    """

    factor: str
    dataset: str
    provenance: str
    teacher: str
    student: str
    method: str
    baseline: str
    metric: str
    held: tuple[tuple[str, Any], ...]
    points: tuple[CurvePoint, ...]
    trend: Trend | None


def curves(
    rows: Sequence[Row],
    *,
    baseline: str = "ce",
    metric: str = "accuracy",
    margin: float = 0.005,
    confidence: float = 0.95,
) -> list[Curve]:
    """One curve for each factor with two levels or more, method and setting.

    Nothing is averaged over levels of other factors, data sets, provenances, teachers or students: each
    combination has its own curve. A level that is not a number has no place on the axis and is left out, and
    so is a level without a finished pair.

    Args:
        rows: result rows, as for :func:`distillab.evidence.effects.effects`.
        baseline: the method to compare with.
        metric: a key of ``METRICS``.
        margin: the study's margin for accuracies.
        confidence: nominal coverage of the intervals.
    """
    columns = cell_columns(rows)
    cells = by_cell(rows, columns)
    found = []
    for factor in factor_columns(rows):
        settings: dict[tuple[tuple[str, Any], ...], dict[float, Runs]] = defaultdict(dict)
        for cell, runs in cells.items():
            names = dict(zip(columns, cell, strict=True))
            level = names.pop(factor)
            if isinstance(level, (int, float)) and not math.isnan(level):
                settings[tuple(names.items())][float(level)] = runs
        for setting, by_level in settings.items():
            for method in dict.fromkeys(name for runs in by_level.values() for name in runs):
                both = _pairs_by_level(by_level, method, baseline, metric)
                if method == baseline or len(both) < 2:
                    continue
                points = tuple(_point(x, both[x], metric, margin, confidence) for x in sorted(both))
                gains = {x: {d["seed"]: d[metric] - p[metric] for d, p in both[x]} for x in both}
                found.append(
                    Curve(
                        factor=factor.removeprefix(FACTOR),
                        **{key: value for key, value in setting if not key.startswith(FACTOR)},
                        method=method,
                        baseline=baseline,
                        metric=metric,
                        held=tuple((k.removeprefix(FACTOR), v) for k, v in setting if k.startswith(FACTOR)),
                        points=points,
                        trend=trend(gains),
                    )
                )
    return found


def trend(gains: dict[float, dict[int, float]]) -> Trend | None:
    """The trend of paired gains over levels.

    Under the hypothesis that the gain does not depend on the level, the gains of one seed are exchangeable
    among its levels: they are permuted within each seed, 9,999 times from a fixed seed, and the arrangement
    seen is counted with them.

    Args:
        gains: level -> seed -> paired gain; seeds may lack levels.

    Returns:
        None if fewer than two seeds have two levels or more.
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
    centred = x - np.nanmean(np.where(present, x, np.nan), axis=1, keepdims=True)
    rises = float((centred * table)[present].sum())
    slope = rises / float((centred[present] ** 2).sum())
    flat = np.ptp(table[present]) < 1e-12
    rank = 0.0 if flat else float(stats.spearmanr(x[present], table[present]).statistic)
    p_value, p_any = _permutation_p(table, centred)
    return Trend(slope, log_scale, rank, p_value, p_any, len(table))


def _permutation_p(table: Values, centred: Values) -> tuple[float, float]:
    """(p of the slope, p of any difference between levels); gains ``[seeds, levels]``, NaN where missing."""
    rng = np.random.default_rng(len(table))
    gains = table - np.nanmean(table, axis=1, keepdims=True)  # a shift of a whole seed says nothing of levels
    present = np.isfinite(gains)
    counts = present.sum(axis=0)
    kept = counts > 0

    def measure(sums: Values, rises: Values) -> tuple[Values, Values]:
        return np.abs(rises), (sums[:, kept] ** 2 / counts[kept]).sum(axis=1)

    filled = np.where(present, gains, 0.0)
    slope_seen, any_seen = measure(filled.sum(axis=0)[None], np.array([(filled * centred).sum()]))
    tolerance = 1e-9 * (slope_seen + np.abs(filled * centred).sum()), 1e-9 * (any_seen + (filled**2).sum())
    extreme = np.ones(2)
    for _ in range(PERMUTATIONS // BATCH):
        sums, rises = np.zeros((BATCH, table.shape[1])), np.zeros(BATCH)
        for row, where, x in zip(gains, present, centred, strict=True):
            shuffled = rng.permuted(np.broadcast_to(row[where], (BATCH, where.sum())), axis=1)
            sums[:, where] += shuffled
            rises += shuffled @ x[where]
        slopes, spreads = measure(sums, rises)
        extreme += [(slopes >= slope_seen - tolerance[0]).sum(), (spreads >= any_seen - tolerance[1]).sum()]
    p_value, p_any = extreme / (PERMUTATIONS + 1)
    return float(p_value), float(p_any)


def _pairs_by_level(
    by_level: dict[float, Runs], method: str, baseline: str, metric: str
) -> dict[float, list[tuple[Row, Row]]]:
    """Level -> (distilled, plain) rows, for the levels that have a finished pair."""
    both = {x: pairs(runs.get(method, {}), runs.get(baseline, {}), metric) for x, runs in by_level.items()}
    return {x: found for x, found in both.items() if found}


def _point(
    level: float, both: list[tuple[Row, Row]], metric: str, margin: float, confidence: float
) -> CurvePoint:
    about = METRICS[metric]
    after, before = [d[metric] for d, _ in both], [p[metric] for _, p in both]
    gain = paired_gain(after, before, confidence=confidence, resolution=resolution_of(both, metric))
    said = verdict(gain, about.margin_for(margin), about.higher_is_better)
    return CurvePoint(level, gain, said, float(np.mean(before)), float(np.mean(after)))
