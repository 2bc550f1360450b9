"""The paired gain: metric(distilled) - metric(plain) at the same seed, with an interval and a p-value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

Values = npt.NDArray[np.float64]

MOST_ENUMERATED = 16  # 2**15 sums after using the symmetry; beyond it the sign flips are drawn
DRAWN_FLIPS = 99_999
NO_DIFFERENCE = 1e-12  # metrics are ratios of counts or float64 means: below this, two values are the same


@dataclass(frozen=True)
class Gain:
    """A mean paired difference and what is known about it.

    Attributes:
        n_pairs: number of seeds with both runs.
        gain: mean of distilled - plain, in the metric's own unit and direction.
        ci_low, ci_high: confidence interval of the mean; infinite if the pairs say nothing about the spread.
        p_value: exact two-sided sign-flip p-value.
    """

    n_pairs: int
    gain: float
    ci_low: float
    ci_high: float
    p_value: float


def paired_gain(
    distilled: npt.ArrayLike,
    plain: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resolution: float | None = None,
) -> Gain:
    """The gain of distilled over plain runs that share everything but the loss.

    Args:
        distilled: float ``[n]``, the metric of the distilled runs, one a seed.
        plain: float ``[n]``, the metric of their plain twins, in the same order of seeds.
        confidence: nominal coverage of the interval.
        resolution: the smallest step of the metric, 1 / n_test for an accuracy. None if it has none or it is
            not known: then, if all differences are equal, the smallest gap between two values that were seen
            stands in for it (it is never smaller than the true step).

    One pair gives an infinite interval and p = 1: it holds no information on the spread. Differences that are
    all equal never give an interval of width zero: see :func:`grid_floor`.

    Raises:
        ValueError: for lengths that differ, no pairs, NaN or infinite values, or a confidence outside (0, 1).
    """
    after, before = np.asarray(distilled, dtype=np.float64), np.asarray(plain, dtype=np.float64)
    if after.shape != before.shape or after.ndim != 1 or not len(after):
        raise ValueError(f"pairs need two equal, non-empty 1-d arrays, not {after.shape} and {before.shape}")
    if not (np.isfinite(after).all() and np.isfinite(before).all()):
        raise ValueError("a pair holds NaN or infinity; a run without a result cannot be paired")
    differences = after - before
    if resolution is None and np.ptp(differences) < NO_DIFFERENCE:
        resolution = smallest_gap(np.concatenate([after, before]))
    floor = 0.0 if resolution is None else grid_floor(len(differences), resolution, confidence)
    low, high = guarded_interval(differences, confidence=confidence, floor=floor)
    return Gain(
        len(differences), float(differences.mean()), float(low), float(high), sign_flip_p(differences)
    )


def guarded_interval(
    differences: npt.ArrayLike, *, confidence: float = 0.95, floor: float = 0.0
) -> tuple[Values, Values]:
    """Confidence interval of the mean of a few differences: Student's t, guarded against skewness.

    The end on the side of the longer tail is moved outwards by the first term of the Edgeworth correction of
    the studentised mean, ``g1 s (1 + 2 z^2) / (6 n)`` (Johnson 1978; Hall, The Bootstrap and Edgeworth
    Expansion, 1992, section 3), with ``g1`` the sample skewness m3 / m2^1.5 and ``z`` the normal quantile; an
    end never moves inwards. Chosen by simulation at 5 to 10 pairs: see docs/statistics.md and
    benchmarks/interval_coverage.py.

    Args:
        differences: float ``[..., n]``.
        confidence: nominal coverage.
        floor: smallest half-width that is honest, from :func:`grid_floor`.

    Returns:
        (low, high), float64 ``[...]`` each; infinite for n = 1, and for equal differences without a floor.

    Raises:
        ValueError: for a confidence outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence lies in (0, 1), not {confidence}")
    values = np.asarray(differences, dtype=np.float64)
    n, mean = values.shape[-1], values.mean(axis=-1)
    if n < 2:
        return np.full_like(mean, -np.inf), np.full_like(mean, np.inf)
    flat = np.ptp(values, axis=-1) < NO_DIFFERENCE
    tail = 0.5 + confidence / 2.0
    spread = np.where(flat, 0.0, values.std(axis=-1, ddof=1))
    half = np.maximum(stdtrit(n - 1, tail) * spread / np.sqrt(n), floor)
    half = np.where(flat & (floor <= 0.0), np.inf, half)
    centred = values - mean[..., None]
    m2, m3 = (centred**2).mean(axis=-1), (centred**3).mean(axis=-1)
    skewness = np.where(flat, 0.0, m3 / np.where(flat, 1.0, m2) ** 1.5)
    guard = skewness * spread * (1.0 + 2.0 * ndtri(tail) ** 2) / (6.0 * n)
    return mean - half + np.minimum(guard, 0.0), mean + half + np.maximum(guard, 0.0)


def grid_floor(n: int, resolution: float, confidence: float = 0.95) -> float:
    """The smallest honest half-width for a metric that moves in steps: ``resolution (1 - (a/2)^(1/n))``.

    n differences that are all equal still leave room: with confidence 1 - a, a further seed may differ from
    them with a probability of up to ``1 - (a/2)^(1/n)`` (Clopper and Pearson 1934, none of n seen), and the
    least it can differ by is one step. For 5 pairs and a test set of 1000 images it is 0.05 points.
    """
    return float(resolution * (1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / n)))


def smallest_gap(values: Values) -> float | None:
    """The smallest distance between two different values, None if all are equal."""
    gaps = np.diff(np.sort(values))
    gaps = gaps[gaps > NO_DIFFERENCE]
    return float(gaps.min()) if len(gaps) else None


def sign_flip_p(differences: npt.ArrayLike) -> float:
    """Two-sided p-value of the mean under flips of the sign of each difference (Fisher 1935).

    The share of the 2^n flips whose sum is at least as far from zero as the one seen. All are enumerated for
    up to 16 differences; beyond, 99,999 are drawn from a fixed seed and the one seen is counted with them,
    so that the p-value stays valid (Phipson and Smyth 2010).
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    seen = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # equal sums may differ in their last bits
    if n <= MOST_ENUMERATED:
        sums: npt.NDArray[Any] = values[:1]  # the other half of the flips mirrors these
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= seen).mean())
    rng = np.random.default_rng(n)
    extreme = 0
    for start in range(0, DRAWN_FLIPS, 10_000):
        signs = 2.0 * rng.integers(0, 2, size=(min(10_000, DRAWN_FLIPS - start), n)) - 1.0
        extreme += int((np.abs(signs @ values) >= seen).sum())
    return (extreme + 1) / (DRAWN_FLIPS + 1)


def smallest_p(n: int) -> float:
    """The smallest p-value that :func:`sign_flip_p` can give for n differences: 2 / 2^n, 1 for none."""
    if n <= MOST_ENUMERATED:
        return float(min(1.0, 2.0 ** (1 - n)))
    return 1 / (DRAWN_FLIPS + 1)
