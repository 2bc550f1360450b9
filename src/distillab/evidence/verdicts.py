"""Verdicts on gains from their intervals, and corrections of p-values for multiple tests."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control

from distillab.evidence.draws import FloatArray
from distillab.evidence.gains import Gain
from distillab.study.spec.seeds import LEAST_PAIRS

Verdict = Literal["helps", "harms", "equivalent", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("helps", "harms", "equivalent", "undecided")


def judge(gain: Gain, margin: float, higher_is_better: bool) -> Verdict:
    """Return the verdict on a gain: where its interval lies relative to the margin.

    ``helps`` if the interval lies entirely beyond the margin on the good side, ``harms`` if it lies beyond
    the margin on the bad side, ``equivalent`` if it lies entirely within [-margin, margin], and ``undecided``
    otherwise. A gain of fewer than 5 pairs is ``undecided`` wherever its interval lies.

    Args:
        gain: The gain with its interval.
        margin: Half width of the region of practical equivalence.
        higher_is_better: Whether larger values of the metric are better.

    Raises:
        ValueError: The margin is negative.

    Example:
        >>> judge(Gain(6, 0.02, 0.01, 0.03, 0.03), margin=0.005, higher_is_better=True)
        'helps'
    """
    if margin < 0:
        raise ValueError(f"margin must not be negative: {margin}")
    if gain.n_pairs < LEAST_PAIRS:
        return "undecided"
    return verdict_of(gain.ci_low, gain.ci_high, margin, higher_is_better)


def verdict_of(low: float, high: float, margin: float, higher_is_better: bool) -> Verdict:
    """Return the verdict that an interval gives against a margin.

    Args:
        low: Lower end of the interval.
        high: Upper end.
        margin: Half width of the region of practical equivalence.
        higher_is_better: Whether larger values of the metric are better.

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


def why_undecided(n_pairs: int, *, analyzed: bool = True) -> str:
    """Return why a gain without a verdict has none.

    Args:
        n_pairs: Number of its pairs.
        analyzed: False if it waits for an interim analysis of a study with sequential stopping.

    Example:
        >>> why_undecided(3)
        'fewer than 5 pairs'
    """
    if not n_pairs:
        return "no finished pair"
    if n_pairs < LEAST_PAIRS:
        return f"fewer than {LEAST_PAIRS} pairs"
    return "the interval allows several verdicts" if analyzed else "the interim analysis is not complete"


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted for the family-wise error rate (Holm 1979), in the given order.

    The k-th smallest of n p-values is multiplied by n - k + 1 and never falls below the one before it.

    Args:
        p_values: Raw p-values, ``[n]``.

    Returns:
        Adjusted p-values, float64 ``[n]``.

    Raises:
        ValueError: A value is outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    raw = _checked(p_values)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    return np.minimum(adjusted, 1.0)


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995).

    The order is the given one.

    Args:
        p_values: Raw p-values, ``[n]``.

    Returns:
        Adjusted p-values, float64 ``[n]``.

    Raises:
        ValueError: A value is outside [0, 1].

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.04, 0.04]
    """
    raw = _checked(p_values)
    return np.asarray(false_discovery_control(raw), dtype=np.float64) if len(raw) else raw


def _checked(p_values: npt.ArrayLike) -> FloatArray:
    raw = np.asarray(p_values, dtype=np.float64)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("p-values must be in [0, 1]")
    return raw
