"""Power of a paired comparison: how many seeds a study needs, and what a number of seeds can show."""

from __future__ import annotations

import math

from scipy import stats
from scipy.optimize import brentq

LARGE_SHIFT = 6.0  # beyond it, significance with the wrong sign is less likely than 1e-7 and hard to compute


def paired_power(n: int, d: float, alpha: float = 0.05) -> float:
    """Return the power of the two-sided paired t test (noncentral t; Cohen 1988, chapter 2).

    Args:
        n: Number of pairs. With fewer than two the power is 0.
        d: Effect in standard deviations of the paired differences.
        alpha: Two-sided level of the test.

    Example:
        >>> round(paired_power(10, 1.0), 2)
        0.8
    """
    if n < 2:
        return 0.0
    shift, critical = abs(d) * math.sqrt(n), float(stats.t.ppf(1 - alpha / 2, n - 1))
    wrong_side = float(stats.nct.cdf(-critical, n - 1, shift)) if shift < LARGE_SHIFT else 0.0
    return float(stats.nct.sf(critical, n - 1, shift)) + wrong_side


def pairs_needed(sd: float, effect: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the smallest number of pairs that shows a mean gain of ``effect`` with the given power.

    Args:
        sd: Standard deviation of the paired differences, in the unit of ``effect``.
        effect: Mean gain to be shown, not zero.
        power: Required probability of showing it.
        alpha: Two-sided level of the test.

    Raises:
        ValueError: ``sd`` is negative, ``effect`` is zero, or ``power`` is outside (0, 1).

    Example:
        >>> pairs_needed(sd=0.004, effect=0.004)
        10
    """
    if sd < 0 or effect == 0 or not 0 < power < 1:
        raise ValueError(f"need sd >= 0, effect != 0, 0 < power < 1: sd={sd}, effect={effect}, power={power}")
    if sd == 0:
        return 2
    d, most = abs(effect) / sd, 2
    while paired_power(most, d, alpha) < power:
        most *= 2
    least = max(2, most // 2)
    while least < most:
        middle = (least + most) // 2
        if paired_power(middle, d, alpha) < power:
            least = middle + 1
        else:
            most = middle
    return most


def detectable_effect(n: int, sd: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest mean gain that n pairs show with the given power.

    Args:
        n: Number of pairs.
        sd: Standard deviation of the paired differences.
        power: Required probability of showing the gain.
        alpha: Two-sided level of the test.

    Returns:
        The gain in the unit of ``sd``; infinite for n < 2.

    Raises:
        ValueError: ``sd`` is negative or ``power`` is outside (0, 1).

    Example:
        >>> round(detectable_effect(5, sd=0.01), 4)
        0.0168
    """
    if sd < 0 or not 0 < power < 1:
        raise ValueError(f"need sd >= 0 and 0 < power < 1, not sd={sd}, power={power}")
    if n < 2:
        return math.inf
    top = 1.0
    while paired_power(n, top, alpha) < power:
        top *= 2
    return sd * float(brentq(lambda d: paired_power(n, d, alpha) - power, 1e-9, top, xtol=1e-12))
