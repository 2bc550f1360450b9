"""The convergence gate: what twice the steps would change, judged on validation sets alone.

Two things are known of a student after its training: its validation curve and, for the first seeds, its
probe, the same student over twice the steps. A probe measures the change that is of interest and nothing
else. A curve tells less. At a constant learning rate its last doubling shows what a doubling changes. Where
the learning rate is annealed it shows next to nothing: every run rises while the rate falls, however long it
is, and is flat after that, however short.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy import stats

LARGEST_CHANGE = 0.01
"""The change by twice the steps that always matters: a point of a metric that is a fraction."""
CERTAINTY = 0.8
"""How certain a judgment is at least."""
MOST_PROBES = 100
LATE = 0.5  # the share of training from which on a curve is judged: its last doubling


def tolerated_change(margin: float) -> float:
    """Return the change by twice the steps from which on training is too short.

    It is twice the margin of practical equivalence, for a study that resolves small gains must be trained
    longer, and at most a point. Against a margin of 0 no change is small enough, so that it is a point.

    Example:
        >>> tolerated_change(0.002), tolerated_change(0.005), tolerated_change(0.02)
        (0.004, 0.01, 0.01)
    """
    return min(2 * margin, LARGEST_CHANGE) or LARGEST_CHANGE


Judgment = Literal["converged", "not converged", "cannot judge"]
ValCurve = Sequence[tuple[float, float]]
"""Points of a validation curve: (share of training, score), the last one at the end of training."""


@dataclass(frozen=True)
class Arm:
    """What is known of the students of one method under one condition.

    Attributes:
        scores: The validation score at the end of training, by seed.
        doubled: That of the probes, by seed.
        curves: The validation curves, by seed.
        annealed: Whether the learning rate falls during training.
    """

    scores: Mapping[int, float]
    doubled: Mapping[int, float] = field(default_factory=dict)
    curves: Mapping[int, ValCurve] = field(default_factory=dict)
    annealed: bool = True


@dataclass(frozen=True)
class Doubling:
    """An estimate of the change by twice the steps.

    Attributes:
        mean: The estimate.
        error: Its standard error; infinite if it is not known.
        degrees: Degrees of freedom of the standard error.
        tolerated: The change from which on training is too short; see :func:`tolerated_change`.

    Example:
        >>> change = Doubling(mean=0.04, error=0.01, degrees=10)
        >>> round(change.rise, 3), change.judgment, [round(end, 3) for end in change.interval]
        (0.993, 'not converged', [0.022, 0.058])
    """

    mean: float
    error: float
    degrees: float
    tolerated: float = LARGEST_CHANGE

    @property
    def rise(self) -> float:
        """The probability, by Student's t, of a rise that is not tolerated."""
        return self._beyond(1)

    @property
    def fall(self) -> float:
        """The probability of such a fall."""
        return self._beyond(-1)

    @property
    def certainty(self) -> float:
        """The probability of what is most probable: a rise, a fall, or neither."""
        return max(self.rise, self.fall, 1.0 - self.rise - self.fall)

    @property
    def judgment(self) -> Judgment:
        """The judgment that the estimate supports alone."""
        if max(self.rise, self.fall) >= CERTAINTY:
            return "not converged"
        return "converged" if self.certainty >= CERTAINTY else "cannot judge"

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the change."""
        half = float(stats.t.ppf(0.95, self.degrees)) * self.error if self.error else 0.0
        return self.mean - half, self.mean + half

    def _beyond(self, sign: int) -> float:
        if self.error == 0:
            return float(sign * self.mean >= self.tolerated)
        if not math.isfinite(self.error):
            return 0.5
        return float(stats.t.sf((self.tolerated - sign * self.mean) / self.error, self.degrees))


@dataclass(frozen=True)
class Convergence:
    """Whether the students of one method under one condition are trained to the end.

    Attributes:
        judgment: ``converged``, ``not converged`` or ``cannot judge``.
        change: The estimated change of the validation score by twice the steps; None without an estimate.
        by: What it rests on: ``probe`` or ``curve``; empty without an estimate.
        probes: The number of probes.
        reason: Why there is no judgment.

    Example:
        >>> Convergence("cannot judge", reason="one seed").converged is None
        True
    """

    judgment: Judgment
    change: Doubling | None = None
    by: Literal["probe", "curve", ""] = ""
    probes: int = 0
    reason: str = ""

    @property
    def converged(self) -> bool | None:
        """Whether training was long enough; None if that cannot be judged."""
        return None if self.judgment == "cannot judge" else self.judgment == "converged"


def judge_convergence(arms: Mapping[str, Arm], method: str, tolerated: float = LARGEST_CHANGE) -> Convergence:
    """Judge whether the students of a method are trained to the end.

    The standard error of the change is that of the probes of the seeds, with one variance for all methods of
    the condition. With a single probe it is that of two trainings on the same data, estimated from all
    students of the condition: their scores in a table of seeds and methods, less the means of both (the
    residual of a two-way analysis of variance), for a seed stands for a subset, which both lengths share.

    Without a probe the last doubling of the curves is taken for the next one, if the learning rate was
    constant.

    Args:
        arms: All methods of the condition.
        method: The one to be judged.
        tolerated: The change from which on training is too short.

    Example:
        >>> plain = Arm(scores={0: 0.600, 1: 0.622, 2: 0.611}, doubled={0: 0.75})
        >>> kd = Arm(scores={0: 0.800, 1: 0.821, 2: 0.811}, doubled={0: 0.80})
        >>> [judge_convergence({"ce": plain, "kd": kd}, name).judgment for name in ("ce", "kd")]
        ['not converged', 'converged']
    """
    arm = arms[method]
    if not any((*arm.scores.values(), *arm.doubled.values())):
        return Convergence("cannot judge", reason="all scores are 0, so that nothing is learned yet")
    probe, curve = _probe_change(arms, arm, tolerated), _curve_change(arm, tolerated)
    probes = len(_probed(arm))
    if probe is not None and probe.judgment != "cannot judge":
        return Convergence(probe.judgment, probe, "probe", probes)
    unknown = probe is None or not math.isfinite(probe.error)
    if unknown and curve is not None and not arm.annealed and curve.judgment != "cannot judge":
        return Convergence(curve.judgment, curve, "curve", probes)
    basis: Literal["probe", "curve", ""] = "probe" if probe else "curve" if curve else ""
    reason = _reason(probe, curve, probes, arm.annealed)
    return Convergence("cannot judge", probe or curve, basis, probes, reason)


def _reason(probe: Doubling | None, curve: Doubling | None, probes: int, annealed: bool) -> str:
    if probe is not None and math.isfinite(probe.error):
        more = _probes_needed(probe, probes)
        return (
            f"{more} probes would decide"
            if more
            else "the change is too close to the largest that is tolerated"
        )
    if probe is not None:
        return "the noise between trainings is not known: one finished seed or one method"
    if curve is not None and annealed:
        return "the learning rate is annealed, so that curves cannot decide; a probe would"
    if curve is not None:
        return "curves vary too much between seeds; a probe would decide"
    return "there is neither a probe nor a curve"


def _probes_needed(change: Doubling, probes: int) -> int | None:
    """Return the number of probes that would decide if the change were the estimated one; None above 100."""

    def decides(number: int) -> bool:
        error = change.error * math.sqrt(probes / number)
        return replace(change, error=error).judgment != "cannot judge"

    if not decides(MOST_PROBES):
        return None
    return bisect_left(range(MOST_PROBES), True, lo=probes + 1, key=decides)


def _probed(arm: Arm) -> list[int]:
    return sorted(arm.doubled.keys() & arm.scores.keys())


def _changes(arm: Arm) -> list[float]:
    return [arm.doubled[seed] - arm.scores[seed] for seed in _probed(arm)]


def _probe_change(arms: Mapping[str, Arm], arm: Arm, tolerated: float) -> Doubling | None:
    changes = _changes(arm)
    if not changes:
        return None
    mean = float(np.mean(changes))
    several = [each for other in arms.values() if len(each := _changes(other)) > 1]
    if len(changes) > 1:
        squares = sum(float(np.var(each)) * len(each) for each in several)
        degrees = sum(len(each) - 1 for each in several)
        return Doubling(mean, math.sqrt(squares / degrees / len(changes)), degrees, tolerated)
    spread, degrees = training_noise([each.scores for each in arms.values()])
    if not degrees:
        return Doubling(mean, math.inf, 1, tolerated)
    return Doubling(mean, spread * math.sqrt(2), degrees, tolerated)


def training_noise(scores: Sequence[Mapping[int, float]]) -> tuple[float, int]:
    """Return the standard deviation between trainings on the same data, with its degrees of freedom.

    Args:
        scores: Scores by seed, one mapping per method. Seeds that a method lacks are left out.

    Returns:
        The square root of the residual mean square of scores by seed and method, and ``(seeds - 1) *
        (methods - 1)``; (0, 0) if there is one seed or one method.

    Example:
        >>> training_noise([{0: 0.6, 1: 0.7, 2: 0.8}, {0: 0.7, 1: 0.8, 2: 0.9}])
        (0.0, 2)
    """
    seeds = sorted(set.intersection(*(set(each) for each in scores))) if scores else []
    degrees = (len(seeds) - 1) * (len(scores) - 1)
    if len(seeds) < 2 or len(scores) < 2:
        return 0.0, 0
    table = np.array([[each[seed] for seed in seeds] for each in scores], dtype=np.float64)
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    rest[np.abs(rest) < 1e-12] = 0.0  # rounding
    return math.sqrt(float((rest**2).sum()) / degrees), degrees


def _curve_change(arm: Arm, tolerated: float) -> Doubling | None:
    """Return the change per doubling at the end of the curves, with its standard error over seeds."""
    slopes = [slope for curve in arm.curves.values() if (slope := late_slope(curve)) is not None]
    if len(slopes) < 2:
        return None
    error = float(np.std(slopes, ddof=1)) / math.sqrt(len(slopes))
    return Doubling(float(np.mean(slopes)), error, len(slopes) - 1, tolerated)


def late_slope(curve: ValCurve) -> float | None:
    """Return the change per doubling over the last doubling of a curve, by least squares.

    The result is None if fewer than two of its points lie there.

    Example:
        >>> round(late_slope([(0.25, 0.5), (0.5, 0.6), (1.0, 0.7)]), 3)
        0.1
    """
    late = [(math.log2(share), score) for share, score in curve if share >= LATE - 1e-9]
    if len(late) < 2:
        return None
    x, y = np.array(late, dtype=np.float64).T
    return float(np.polyfit(x, y, 1)[0])
