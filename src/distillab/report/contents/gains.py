"""What a report shows of gains: contrasts, curves over levels, gains per class, and qualities of students."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from distillab.evidence.level_effects import LevelVerdict
from distillab.evidence.verdicts import Verdict
from distillab.report.contents.place import Place

Number = float | None


@dataclass(frozen=True)
class Effect:
    """A paired contrast: one row of ``effects.parquet`` with the same names and units.

    ``verdict`` is the one that holds together with all others, ``verdict_alone`` that of this contrast.
    ``converged`` is None where it cannot be judged whether training was long enough.

    Example:
        >>> place = Place("digits", "resnet20", "resnet8")
        >>> Effect(place, "kd", "ce", "accuracy", 6, 0.02, 0.01, 0.03, verdict="helps").gain
        0.02
    """

    place: Place
    method: str
    baseline: str
    metric: str
    n_pairs: int
    gain: Number
    ci_low: Number
    ci_high: Number
    p_value: Number = None
    p_adjusted: Number = None
    verdict: Verdict = "undecided"
    gap_closed: Number = None
    error_ratio: Number = None
    look: int | None = None
    undecided_because: str = ""
    verdict_alone: Verdict = "undecided"
    ci_low_same_test: Number = None
    ci_high_same_test: Number = None
    converged: bool | None = None
    convergence_note: str = ""
    ci_low_same_runs: Number = None
    ci_high_same_runs: Number = None


@dataclass(frozen=True)
class LevelEffect:
    """How much a gain differs between two levels: one row of ``level_effects.parquet``.

    Example:
        >>> place = Place("digits", "resnet20", "resnet8")
        >>> LevelEffect(place, "size", "100", "25", "kd", "ce", "accuracy", 6, -0.02).difference
        -0.02
    """

    place: Place
    factor: str
    level: str
    reference: str
    method: str
    baseline: str
    metric: str
    n_pairs: int
    difference: Number = None
    ci_low: Number = None
    ci_high: Number = None
    ci_low_same_test: Number = None
    ci_high_same_test: Number = None
    gain: Number = None
    gain_reference: Number = None
    p_value: Number = None
    p_adjusted: Number = None
    verdict: LevelVerdict = "undecided"
    verdict_alone: LevelVerdict = "undecided"
    undecided_because: str = ""


@dataclass(frozen=True)
class Point:
    """A point of a curve: ``value`` with its interval at ``level``, from ``n`` pairs or runs."""

    level: float | str
    value: Number
    low: Number = None
    high: Number = None
    n: int = 0


@dataclass(frozen=True)
class CurveView:
    """A named series of points, in order of level. ``role`` decides how it is drawn."""

    name: str
    points: tuple[Point, ...]
    role: Literal["plain", "distilled", "teacher"] = "distilled"


@dataclass(frozen=True)
class DosePanel:
    """How gains and the primary metric change with one factor.

    Attributes:
        factor: Registered name of the factor.
        held: What is held fixed, in plain words; "" if there is nothing else.
        gains: One curve per method, in the primary metric of the report.
        scores: The primary metric of plain and distilled students and of the teacher.
        main: Whether the panel is open; the others are folded below.
    """

    factor: str
    held: str
    gains: tuple[CurveView, ...]
    scores: tuple[CurveView, ...] = ()
    main: bool = True


@dataclass(frozen=True)
class ClassGain:
    """The paired gain of one class (or label).

    Attributes:
        name: Name of the class.
        gain: Gain in the metric per class.
        ci_low: Lower end of its interval.
        ci_high: Upper end of its interval.
        p_adjusted: P-value corrected over classes.
        n_train: Training examples of that class after the factors.
        verdict: ``harms`` for a loss that survives the correction, ``helps`` for such a gain.
    """

    name: str
    gain: Number
    ci_low: Number
    ci_high: Number
    p_adjusted: Number = None
    n_train: int | None = None
    verdict: Verdict = "undecided"


@dataclass(frozen=True)
class ClassPanel:
    """Gains of all classes for one method at one place."""

    place: Place
    method: str
    classes: tuple[ClassGain, ...]


@dataclass(frozen=True)
class Quality:
    """Means over the seeds of one method at one place. ``measures`` maps columns to (mean, sd)."""

    place: Place
    method: str
    n: int
    measures: Mapping[str, tuple[Number, Number]]
