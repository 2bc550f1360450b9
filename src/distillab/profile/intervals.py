"""95 % intervals: in closed form where one exists, otherwise by resampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri, stdtrit

from distillab.profile.measure import Interval

CONFIDENCE = 0.95
_RESAMPLES = 200
_JACKKNIFE_GROUPS = 20
_Z = float(ndtri(0.5 + CONFIDENCE / 2))


def wilson_interval(hits: float, n: int) -> Interval:
    """Return the interval of a share ``hits / n`` (Wilson 1927).

    Example:
        >>> found = wilson_interval(5, 10)
        >>> round(found.low, 3), round(found.high, 3)
        (0.237, 0.763)
    """
    if not n:
        return Interval(math.nan, math.nan, "none: no image")
    share = hits / n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Interval(max(0.0, center - half), min(1.0, center + half), "Wilson")


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Return the interval of the mean of many values, by the normal approximation."""
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return Interval(math.nan, math.nan, "none: fewer than two values")
    half = _Z * sample.std(ddof=1) / math.sqrt(len(sample))
    return Interval(float(sample.mean() - half), float(sample.mean() + half), "normal")


def balanced_accuracy_interval(recalls: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> Interval:
    """Return the interval of the mean recall over classes, by the normal approximation.

    Classes are treated as independent.

    Args:
        recalls: float64 ``[C]``, accuracy of each class.
        counts: int64 ``[C]``, images per class; classes without images are ignored.
    """
    kept = counts > 0
    # One success and one failure are added, so that a recall of 0 or 1 has a variance too.
    shares = (recalls[kept] * counts[kept] + 1) / (counts[kept] + 2)
    half = _Z * math.sqrt(float((shares * (1 - shares) / counts[kept]).sum())) / int(kept.sum())
    value = float(recalls[kept].mean())
    return Interval(max(0.0, value - half), min(1.0, value + half), "normal, by class")


def rate_interval(value: float, events: int) -> Interval:
    """Return the exact interval of a rate estimated from ``events`` exponential waiting times.

    The ends are quantiles of the chi-squared distribution with ``2 * events`` degrees of freedom.
    """
    if events < 1:
        return Interval(math.nan, math.nan, "none: no event")
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(chdtri(2 * events, p)) / (2 * events) for p in (1 - tail, tail))
    return Interval(value * low, value * high, "chi-squared")


def bootstrap_interval(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    *,
    seed: int,
    resamples: int = _RESAMPLES,
) -> Interval:
    """Return the percentile bootstrap interval.

    Args:
        statistic: Function of positions in ``[0, n)``, int64 ``[n]``, with repeats.
        n: Number of images.
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, n, n)) for _ in range(resamples)]
    values = np.asarray(found, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < resamples / 2:
        return Interval(math.nan, math.nan, "none: too few images")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high), "bootstrap")


def jackknife_interval(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    value: float,
    *,
    groups: int = _JACKKNIFE_GROUPS,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> Interval:
    """Return the delete-a-group jackknife interval: one of G equal groups of images is left out at a time.

    Suits statistics of class means, tables and neighborhoods, which noise biases. A bootstrap repeats images
    and would add that bias a second time, so that its interval may not contain the value.

    Args:
        statistic: Function of positions in ``[0, n)``, int64.
        n: Number of images, in random order.
        value: The statistic of all images.
        groups: G, at most n.
        minimum: Lower bound of the statistic.
        maximum: Upper bound of the statistic.
    """
    count = min(groups, n)
    group = np.arange(n) % max(1, count)
    found = [statistic(np.flatnonzero(group != each)) for each in range(count)]
    sample = np.asarray(found, dtype=np.float64)
    if count < 3 or not np.isfinite(sample).all() or not math.isfinite(value):
        return Interval(math.nan, math.nan, "none: too few images")
    spread = math.sqrt((count - 1) / count * float(((sample - sample.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * spread
    return Interval(max(minimum, value - half), min(maximum, value + half), "jackknife")
