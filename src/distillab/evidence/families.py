"""Verdicts that hold together: a family of comparisons with at most one error at the confidence of the study."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from distillab.evidence.verdicts import Verdict, holm

Interval = Callable[[float], tuple[float, float]]
"""The confidence interval of a gain, for a confidence."""

LARGEST_LEVEL = 0.999  # intervals at almost no confidence are points
SMALLEST_LEVEL = 1e-9
_HALVINGS = 40


def verdict_of(low: float, high: float, margin: float, higher_is_better: bool) -> Verdict:
    """Return the verdict that an interval gives against a margin.

    Example:
        >>> verdict_of(0.01, 0.03, margin=0.005, higher_is_better=True)
        'helps'
    """
    if not higher_is_better:
        low, high = -high, -low
    if low > margin:
        return "helps"
    if high < -margin:
        return "harms"
    return "equivalent" if -margin <= low and high <= margin else "undecided"


def verdict_level(interval: Interval, margin: float) -> float:
    """Return the smallest error rate at which the interval of a gain gives a verdict; 1 if none does.

    It is a p-value: that of the verdict, whichever it is, since the interval at one minus this error rate is the
    widest that leaves it. Intervals grow with their confidence, so the level is found by bisection.

    Example:
        >>> from statistics import NormalDist
        >>> def interval(confidence: float) -> tuple[float, float]:
        ...     half = 0.01 * NormalDist().inv_cdf(0.5 + confidence / 2)
        ...     return 0.03 - half, 0.03 + half
        >>> round(verdict_level(interval, margin=0.005), 4)  # 2.5 standard errors beyond the margin
        0.0124
    """

    def decides(level: float) -> bool:
        return verdict_of(*interval(1.0 - level), margin, True) != "undecided"

    low, high = np.log(SMALLEST_LEVEL), np.log(LARGEST_LEVEL)
    if not decides(LARGEST_LEVEL):
        return 1.0
    if decides(SMALLEST_LEVEL):
        return SMALLEST_LEVEL
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if decides(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))


def adjusted_levels(levels: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Return the levels of a family's verdicts, adjusted by Holm's method.

    The verdicts whose adjusted level is at most alpha contain an error with a probability of at most alpha.

    Args:
        levels: From :func:`verdict_level`, by test.

    Example:
        >>> adjusted_levels({"kd": 0.01, "dkd": 0.04})
        {'kd': 0.02, 'dkd': 0.04}
    """
    return dict(zip(levels, holm(list(levels.values())).tolist(), strict=True))
