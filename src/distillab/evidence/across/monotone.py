"""Whether accuracy falls somewhere as the training set grows, by more than noise explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.draws import FloatArray

NULL_DRAWS = 1_999
_TINY = 1e-12


@dataclass(frozen=True)
class MonotoneCheck:
    """The largest fall of a curve of scores over sizes, with its p-value.

    Attributes:
        p_value: Of the hypothesis that the true scores never fall; NaN with a single seed.
        falls: Whether they do, at the error rate of the check.
        fall_from: The size at which the largest fall starts (relative to its noise); NaN without a fall.
        fall_to: The larger size at which it ends.
        drop: How much lower the mean score is there.

    Example:
        >>> MonotoneCheck(0.001, True, 100, 200, 0.03).falls
        True
    """

    p_value: float
    falls: bool
    fall_from: float
    fall_to: float
    drop: float


def check_monotone(
    sizes: npt.ArrayLike, scores: npt.ArrayLike, *, higher_is_better: bool = True, alpha: float = 0.05
) -> MonotoneCheck:
    """Return whether scores fall between two sizes by more than the noise between seeds explains.

    About one in seven real learning curves is not monotone or not convex (LCDB 1.1, arXiv 2505.15657). The
    statistic is the largest fall between any two sizes in units of its standard error, where noise is what a
    seed and a size together do not explain, with a variance per size that is shrunk half-way to their mean.
    Its distribution is simulated with normal noise for equal true scores, which of all curves that never fall
    gives the largest falls: so the error rate holds for all of them, and for any number of sizes.

    Args:
        sizes: Increasing sizes, float ``[k]``.
        scores: One row per seed, float ``[seeds, k]``, the same seeds at all sizes.
        higher_is_better: Whether larger scores are better.
        alpha: Error rate.

    Raises:
        ValueError: Shapes do not match, sizes do not increase, or a score is not finite.

    Example:
        >>> rise, noise = np.array([0.5, 0.6, 0.7, 0.64]), np.random.default_rng(0).normal(0, 0.005, (5, 4))
        >>> found = check_monotone([10, 20, 40, 80], rise + noise)
        >>> found.falls, found.fall_from, found.fall_to, round(found.drop, 2)
        (True, 40.0, 80.0, 0.06)
    """
    n, table = as_curve(sizes, scores)
    if not higher_is_better:
        table = -table
    if len(table) < 2 or len(n) < 2:
        return MonotoneCheck(np.nan, False, np.nan, np.nan, 0.0)
    worst, (start, end) = _largest_fall(table[None])[0][0], _place(table)
    noise = np.sqrt(_variances(table[None])[0])
    rng = np.random.default_rng(len(n))
    drawn = _largest_fall(noise * rng.standard_normal((NULL_DRAWS, *table.shape)))[0]
    p_value = float((1 + (drawn >= worst).sum()) / (NULL_DRAWS + 1))
    drop = float(table[:, start].mean() - table[:, end].mean())
    if drop <= _TINY:
        return MonotoneCheck(1.0, False, np.nan, np.nan, 0.0)
    return MonotoneCheck(p_value, p_value <= alpha, float(n[start]), float(n[end]), drop)


def as_curve(sizes: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return sizes ``[k]`` and scores ``[seeds, k]`` after checking them.

    Raises:
        ValueError: Shapes do not match, sizes do not increase, or a score is not finite.

    Example:
        >>> as_curve([10, 20], [[0.5, 0.6]])[1].shape
        (1, 2)
    """
    n, table = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if n.ndim != 1 or table.ndim != 2 or table.shape[1] != len(n) or not len(table):
        raise ValueError(f"scores must be [seeds, {len(n)}], not {table.shape}")
    if not (n > 0).all() or not (np.diff(n) > 0).all():
        raise ValueError("sizes must be positive and increase")
    if not np.isfinite(table).all():
        raise ValueError("a score is NaN or infinite; sizes need the same seeds")
    return n, table


def _variances(tables: FloatArray) -> FloatArray:
    """Return the noise variance per size, shrunk half-way to the mean, ``[draws, k]``."""
    seeds, k = tables.shape[1:]
    rest = tables - tables.mean(axis=1, keepdims=True) - tables.mean(axis=2, keepdims=True)
    rest += tables.mean(axis=(1, 2), keepdims=True)
    of_size = (rest**2).sum(axis=1) / ((seeds - 1) * (k - 1) / k)
    return np.asarray((of_size + of_size.mean(axis=1, keepdims=True)) / 2.0 + _TINY**2)


def _falls(tables: FloatArray) -> FloatArray:
    """Return the fall from each size to each larger one in standard errors, ``[draws, pairs]``."""
    first, second = np.triu_indices(tables.shape[2], k=1)
    means, variances = tables.mean(axis=1), _variances(tables)
    spread = np.sqrt((variances[:, first] + variances[:, second]) / tables.shape[1])
    return np.asarray((means[:, first] - means[:, second]) / spread)


def _largest_fall(tables: FloatArray) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    falls = _falls(tables)
    return np.asarray(falls.max(axis=1)), falls.argmax(axis=1)


def _place(table: FloatArray) -> tuple[int, int]:
    first, second = np.triu_indices(table.shape[1], k=1)
    where = int(_largest_fall(table[None])[1][0])
    return int(first[where]), int(second[where])
