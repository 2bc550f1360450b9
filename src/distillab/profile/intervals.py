"""95 % intervals: in closed form where there is one, else from the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri, stdtrit

from distillab.profile.measure import Interval

Values = npt.NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 200
GROUPS = 20
_Z = float(ndtri(0.5 + CONFIDENCE / 2))


def wilson(hits: float, n: int) -> Interval:
    """Of a share ``hits / n`` (Wilson 1927)."""
    if not n:
        return Interval(math.nan, math.nan, "none: no image")
    share = hits / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "Wilson")


def normal_mean(values: npt.ArrayLike) -> Interval:
    """Of a mean of many values: the normal approximation."""
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return Interval(math.nan, math.nan, "none: fewer than two values")
    half = _Z * sample.std(ddof=1) / math.sqrt(len(sample))
    return Interval(float(sample.mean() - half), float(sample.mean() + half), "normal")


def balanced(recalls: Values, counts: npt.NDArray[np.int64]) -> Interval:
    """Of a mean of recalls, one a class: the normal approximation, classes independent."""
    kept = counts > 0
    shares = (recalls[kept] * counts[kept] + 1) / (counts[kept] + 2)  # a recall of 0 or 1 has a spread too
    half = _Z * math.sqrt(float((shares * (1 - shares) / counts[kept]).sum())) / int(kept.sum())
    value = float(recalls[kept].mean())
    return Interval(max(0.0, value - half), min(1.0, value + half), "normal, by class")


def rate(value: float, events: int) -> Interval:
    """Of a rate that ``events`` exponential waiting times gave: exact, from the chi-squared law."""
    if events < 1:
        return Interval(math.nan, math.nan, "none: no event")
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(chdtri(2 * events, p)) / (2 * events) for p in (1 - tail, tail))
    return Interval(value * low, value * high, "chi-squared")


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """The percentile bootstrap.

    Args:
        statistic: of positions in ``[0, n)``, int64 ``[n]``, with repeats.
        n: images.
        seed: of the draws.
        resamples: how many.
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


def jackknife(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    value: float,
    *,
    groups: int = GROUPS,
    least: float = -math.inf,
    most: float = math.inf,
) -> Interval:
    """Leaving out one of G equal groups of images at a time: the delete-a-group jackknife.

    For statistics of class means, tables and neighbourhoods, which are biased by noise: a bootstrap, which
    repeats images, would add that bias once more, and its interval may lie beside the value.

    Args:
        statistic: of positions in ``[0, n)``, int64.
        n: images, in random order.
        value: the statistic of all of them.
        groups: G, at most n.
        least, most: what the statistic cannot pass.
    """
    count = min(groups, n)
    group = np.arange(n) % max(1, count)
    found = [statistic(np.flatnonzero(group != each)) for each in range(count)]
    sample = np.asarray(found, dtype=np.float64)
    if count < 3 or not np.isfinite(sample).all() or not math.isfinite(value):
        return Interval(math.nan, math.nan, "none: too few images")
    spread = math.sqrt((count - 1) / count * float(((sample - sample.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * spread
    return Interval(max(least, value - half), min(most, value + half), "jackknife")
