"""The p-value of a verdict, by which the verdicts of a family of comparisons are corrected together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distillab.evidence.verdicts import verdict_of

IntervalAt = Callable[[float], tuple[float, float]]
"""The confidence interval of a gain, for a confidence."""

LARGEST_LEVEL = 0.999  # intervals at almost no confidence are points
SMALLEST_LEVEL = 1e-9
_HALVINGS = 30


def verdict_level(interval: IntervalAt, margin: float) -> float:
    """Return the smallest error rate at which the interval of a gain gives a verdict; 1 if none does.

    It is the p-value of the verdict, whichever it is: the interval at one minus this error rate is the widest
    that gives one. Intervals grow with their confidence, so the level is found by bisection.

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
