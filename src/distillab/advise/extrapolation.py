"""From the gains of a pilot at several lengths to that of a full training, with several forms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distillab.advise.pilot import PilotArm
from distillab.evidence.draws import FloatArray

NOTICEABLE = 2.0  # standard errors by which a curve turns back before it counts as not monotone


@dataclass(frozen=True)
class Extrapolated:
    """The gain at the end of a curve, by several forms.

    Attributes:
        forms: The gain of a full training by form: ``last value``, ``logarithm``, ``decay``.
        mean: Their mean.
        variance: Their variance: what the choice of a form adds to the error.
        monotone: False if the curve turns back by more than its errors explain; forms are then not trusted
            and the last value stands alone.

    Example:
        >>> Extrapolated({"last value": 0.02}, 0.02, 0.0, True).mean
        0.02
    """

    forms: Mapping[str, float]
    mean: float
    variance: float
    monotone: bool


def extrapolated_gain(by_length: Mapping[float, PilotArm]) -> Extrapolated:
    """Return the gain of a full training that the gains at several lengths lead to expect.

    Three forms are averaged: the last value, a straight line over the logarithm of the steps, and an
    exponential decay of the changes, by which each doubling changes the gain by half of what the one before
    it did. With one length, or one that is full, the last value is all there is. About one in seven learning
    curves is not monotone (Yan and Mohr, LCDB 1.1, 2025): one that turns back is reported, not fitted.

    Args:
        by_length: The gain at each share of a full training.

    Example:
        >>> from distillab.evidence.draws import Variance
        >>> arms = {share: PilotArm("kd", 5, share, gain, Variance(1e-6, 4.0))
        ...         for share, gain in {0.25: 0.01, 0.5: 0.02}.items()}
        >>> found = extrapolated_gain(arms)
        >>> {form: round(gain, 3) for form, gain in found.forms.items()}
        {'last value': 0.02, 'logarithm': 0.03, 'decay': 0.025}
    """
    shares = sorted(share for share, arm in by_length.items() if arm.pairs > 1)
    if not shares:
        raise ValueError("a gain is needed at one length at least, from two pairs or more")
    gains = np.array([by_length[share].mean for share in shares])
    errors = np.array([max(by_length[share].deviation, 1e-6) for share in shares])
    last = float(gains[-1])
    left = -math.log2(shares[-1])
    monotone = is_monotone(gains, errors)
    if len(shares) < 2 or left <= 0 or not monotone:
        return Extrapolated({"last value": last}, last, 0.0, monotone)
    logarithms = np.log2(np.array(shares))
    _, level = np.polyfit(logarithms, gains, 1, w=1.0 / errors)
    step = (gains[-1] - gains[-2]) / (logarithms[-1] - logarithms[-2])
    forms = {
        "last value": last,
        "logarithm": float(level),  # at a share of 1, whose logarithm is 0
        "decay": last + float(step) * (1.0 - 0.5**left),
    }
    values = np.array(list(forms.values()))
    return Extrapolated(forms, float(values.mean()), float(values.var(ddof=1)), monotone)


def is_monotone(values: FloatArray, errors: FloatArray) -> bool:
    """Return False if a curve rises and falls by more than twice the standard errors of the differences.

    Example:
        >>> flat = np.array([0.001, 0.001, 0.001])
        >>> is_monotone(np.array([0.0, 0.02, 0.0]), flat), is_monotone(np.array([0.0, 0.02, 0.019]), flat)
        (False, True)
    """
    steps = np.diff(values)
    noise = NOTICEABLE * np.sqrt(errors[1:] ** 2 + errors[:-1] ** 2)
    return not (bool((steps > noise).any()) and bool((steps < -noise).any()))
