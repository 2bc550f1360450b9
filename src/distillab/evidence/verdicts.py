"""Where an interval lies against the region of practical equivalence, and corrections for many tests."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control

from distillab.evidence.gains import Gain

Verdict = Literal["helps", "harms", "equivalent", "undecided"]


def verdict(gain: Gain, margin: float, higher_is_better: bool) -> Verdict:
    """What the interval of a gain says.

    ``helps`` if it lies entirely beyond the margin on the good side, ``harms`` if beyond it on the bad side,
    ``equivalent`` if entirely within [-margin, margin], and ``undecided`` otherwise.

    Raises:
        ValueError: for a negative margin.
    """
    if margin < 0:
        raise ValueError(f"a margin is not negative: {margin}")
    low, high = (gain.ci_low, gain.ci_high) if higher_is_better else (-gain.ci_high, -gain.ci_low)
    if low > margin:
        return "helps"
    if high < -margin:
        return "harms"
    if -margin <= low and high <= margin:
        return "equivalent"
    return "undecided"


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """P-values adjusted for the family-wise error rate (Holm 1979): float64 ``[n]``, in the order given.

    The k-th smallest of n is multiplied by n - k + 1 and kept from falling below the one before it. Raises
    ValueError for anything outside [0, 1].
    """
    raw = _checked(p_values)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    return np.minimum(adjusted, 1.0)


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995): float64 ``[n]``.

    Raises ValueError for anything outside [0, 1].
    """
    raw = _checked(p_values)
    return np.asarray(false_discovery_control(raw), dtype=np.float64) if len(raw) else raw


def _checked(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    raw = np.asarray(p_values, dtype=np.float64)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("p-values lie in [0, 1]")
    return raw
