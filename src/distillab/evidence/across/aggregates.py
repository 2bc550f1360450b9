"""Aggregates over contexts that single contexts cannot dominate: interquartile means, and wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.draws import FloatArray

RESAMPLES_OF_RUNS = 2_000


@dataclass(frozen=True)
class Aggregate:
    """An aggregate over contexts with a bootstrap interval over their runs.

    Attributes:
        value: The aggregate.
        ci_low: Lower end of the percentile interval.
        ci_high: Upper end of that interval.
        n_contexts: Number of contexts.
        n_runs: Number of runs of all contexts together.

    Example:
        >>> Aggregate(0.02, 0.01, 0.03, n_contexts=12, n_runs=60).value
        0.02
    """

    value: float
    ci_low: float
    ci_high: float
    n_contexts: int
    n_runs: int


def interquartile_mean(
    values: Sequence[npt.ArrayLike], *, confidence: float = 0.95, resamples: int = RESAMPLES_OF_RUNS
) -> Aggregate:
    """Return the mean of the middle half of all runs, with a stratified bootstrap interval.

    A quarter of the values is cut off at each end (rounded down). The bootstrap draws runs with replacement
    within each context, so the interval covers new seeds of the same contexts, not new contexts (Agarwal et
    al., NeurIPS 2021, section 4).

    Args:
        values: For each context its values, one per run, float ``[n_runs of the context]``.
        confidence: Nominal coverage of the interval.
        resamples: Number of bootstrap resamples.

    Raises:
        ValueError: A context has no run, or a value is not finite.

    Example:
        >>> found = interquartile_mean([[0.0, 0.01], [0.02, 0.03], [0.03, 0.04], [0.9, 0.9]])
        >>> round(found.value, 3), found.n_runs
        (0.03, 8)
    """
    strata = _strata(values)
    rng = np.random.default_rng(len(strata))
    drawn = np.concatenate([_redrawn(each, rng, resamples) for each in strata], axis=1)
    pooled = np.concatenate(strata)
    low, high = _percentiles(stats.trim_mean(drawn, 0.25, axis=1), confidence)
    return Aggregate(float(stats.trim_mean(pooled, 0.25)), low, high, len(strata), len(pooled))


def probability_of_improvement(
    distilled: Sequence[npt.ArrayLike],
    plain: Sequence[npt.ArrayLike],
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    resamples: int = RESAMPLES_OF_RUNS,
) -> Aggregate:
    """Return the probability that a distilled run is better than a plain run of the same context.

    It is the Mann-Whitney statistic over the product of both numbers of runs, ties counted half, averaged
    over contexts (Agarwal et al., NeurIPS 2021, section 4.3). The stratified bootstrap draws runs of both
    arms within each context.

    Args:
        distilled: For each context the scores of its distilled runs.
        plain: For each context the scores of its plain runs.
        higher_is_better: Whether larger scores are better.
        confidence: Nominal coverage of the interval.
        resamples: Number of bootstrap resamples.

    Raises:
        ValueError: Numbers of contexts differ, a context has no run, or a score is not finite.

    Example:
        >>> probability_of_improvement([[0.8, 0.9], [0.7, 0.7]], [[0.7, 0.7], [0.7, 0.7]]).value
        0.75
    """
    after, before = _strata(distilled), _strata(plain)
    if len(after) != len(before):
        raise ValueError(f"{len(after)} contexts of distilled runs and {len(before)} of plain ones")
    sign = 1.0 if higher_is_better else -1.0
    rng = np.random.default_rng(len(after))
    observed, drawn = [], []
    for one, other in zip(after, before, strict=True):
        wins = (np.sign(sign * (one[:, None] - other[None, :])) + 1.0) / 2.0
        observed.append(wins.mean())
        rows = rng.multinomial(len(one), np.full(len(one), 1 / len(one)), size=resamples) / len(one)
        columns = rng.multinomial(len(other), np.full(len(other), 1 / len(other)), size=resamples)
        drawn.append(((rows @ wins) * columns / len(other)).sum(axis=1))
    low, high = _percentiles(np.mean(drawn, axis=0), confidence)
    runs = sum(len(each) for each in [*after, *before])
    return Aggregate(float(np.mean(observed)), low, high, len(after), runs)


def _strata(values: Sequence[npt.ArrayLike]) -> list[FloatArray]:
    strata = [np.asarray(each, dtype=np.float64) for each in values]
    if not strata or any(each.ndim != 1 or not len(each) or not np.isfinite(each).all() for each in strata):
        raise ValueError("every context needs at least one run, and finite values")
    return strata


def _redrawn(values: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    return values[rng.integers(0, len(values), size=(resamples, len(values)))]


def _percentiles(drawn: FloatArray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0])
    return float(low), float(high)
