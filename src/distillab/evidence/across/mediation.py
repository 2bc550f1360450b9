"""Factors with and without the teacher's quality: how much of an effect goes through the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.across.base_sets import FEW_BASE_SETS, expanded_level
from distillab.evidence.across.regression import LARGEST_LOSS, Coefficient, Term, WithinDesign

TEACHER_TERM = "accuracy of the teacher"


@dataclass(frozen=True)
class Mediated:
    """The effect of a term with and without the teacher's quality in the regression.

    Attributes:
        total: The effect without it: through the teacher and otherwise.
        direct: The effect at equal quality of the teacher.
        via_teacher: ``total - direct``; NaN if one of them has no estimate.
        ci_low: Lower end of its cluster bootstrap interval; infinite if there is none.
        ci_high: Upper end of that interval.
        note: Why there is no interval, or that it rests on few base sets; empty otherwise.

    Example:
        >>> one = Coefficient("size", -0.02, -0.03, -0.01, 0.01)
        >>> Mediated(one, one, 0.0, -0.001, 0.001).total.term
        'size'
    """

    total: Coefficient
    direct: Coefficient
    via_teacher: float
    ci_low: float
    ci_high: float
    note: str = ""


def mediate(
    gains: npt.ArrayLike,
    terms: Sequence[Term],
    teacher: npt.ArrayLike,
    base_sets: Sequence[str],
    *,
    confidence: float = 0.95,
) -> tuple[tuple[Mediated, ...], Coefficient]:
    """Return total and direct effects of terms, and the coefficient of the teacher's quality.

    A factor such as label noise changes the teacher as well, where the teacher learns from the same data, and
    a better teacher changes the gain. The difference method of Judd and Kenny (1981): the effect without the
    mediator less the effect with it, both by :func:`distillab.evidence.across.regression.regress`, its
    interval from the same resamples of base sets. The split is causal only if nothing else moves both the
    teacher's quality and the gain; the total effect of a factor that was varied needs no such assumption.

    Args:
        gains: One per context, float ``[n]``.
        terms: The factors.
        teacher: The teacher's quality, such as its accuracy, float ``[n]``.
        base_sets: The base set of each context.
        confidence: Nominal coverage of the intervals.

    Raises:
        ValueError: Lengths differ, or a value is NaN or infinite.

    Example:
        >>> noise, sets = np.tile([0.0, 1.0, 0.0, 1.0], 4), [f"{i // 4}" for i in range(16)]
        >>> teacher = 0.9 - 0.2 * noise + np.tile([0.02, 0.0, -0.02, 0.0], 4)
        >>> [found], slope = mediate(0.1 * teacher, [Term("label noise", noise)], teacher, sets)
        >>> round(found.total.estimate, 3), abs(found.direct.estimate) < 1e-9, round(slope.estimate, 3)
        (-0.02, True, 0.1)
    """
    quality = Term(TEACHER_TERM, np.asarray(teacher, dtype=np.float64))
    without = WithinDesign.of_terms(gains, terms, base_sets)
    beside = WithinDesign.of_terms(gains, [*terms, quality], base_sets)
    found = tuple(_mediated(without, beside, j, confidence) for j in range(len(terms)))
    return found, beside.coefficient(len(terms), confidence)


def _mediated(without: WithinDesign, beside: WithinDesign, position: int, confidence: float) -> Mediated:
    total, direct = without.coefficient(position, confidence), beside.coefficient(position, confidence)
    if position in without.reasons or position in beside.reasons:
        return Mediated(total, direct, np.nan, -np.inf, np.inf, total.note or direct.note)
    one, other = without.places[position], beside.places[position]
    via = float(without.estimates[one] - beside.estimates[other])
    drawn = without.resampled[:, one] - beside.resampled[:, other]
    known = drawn[np.isfinite(drawn)]
    varies = int(without.varying[one])
    if len(known) < (1.0 - LARGEST_LOSS) * len(drawn) or varies < 2:
        note = "no interval: resamples of base sets cannot estimate it"
        return Mediated(total, direct, via, -np.inf, np.inf, note)
    level = expanded_level(confidence, varies)
    low, high = np.quantile(known, [level, 1.0 - level])
    note = f"few base sets: it varies within {varies}" if varies < FEW_BASE_SETS else ""
    return Mediated(total, direct, via, float(low), float(high), note)
