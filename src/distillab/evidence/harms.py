"""Gains and losses of single classes, labels or groups behind an average."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.draws import FloatArray, variance_over_seeds
from distillab.evidence.gains import NO_DIFFERENCE, grid_floor, paired_gain, smallest_gap
from distillab.evidence.verdicts import benjamini_hochberg
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Metric, Task

Direction = Literal["loses", "gains", "undecided"]


@dataclass(frozen=True)
class ClassHarm:
    """The effect of distillation on one class (or label, or group).

    Attributes:
        name: Name of the class.
        n_pairs: Number of seeds; 0 if the class does not occur in the test set.
        gain: Mean gain in the metric per class, NaN without pairs.
        ci_low: Lower end of the interval of the gain (:func:`distillab.evidence.gains.guarded_interval`).
        ci_high: Upper end of that interval.
        p_value: Paired t test across seeds and teachers.
        p_adjusted: The p-value after correction over all classes (Benjamini and Hochberg).
        direction: ``loses`` or ``gains`` where ``p_adjusted`` is at most 1 - confidence, from at least 5
            pairs; else ``undecided``.

    Example:
        >>> ClassHarm("cat", 5, -0.04, -0.06, -0.02, 0.004, 0.008, "loses").direction
        'loses'
    """

    name: str
    n_pairs: int
    gain: float
    ci_low: float
    ci_high: float
    p_value: float
    p_adjusted: float
    direction: Direction


def class_harms(
    distilled: npt.ArrayLike,
    plain: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    resolution: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    teachers: Sequence[Hashable] | None = None,
) -> list[ClassHarm]:
    """Return which classes lose and which gain, in class order. Labels and groups are treated alike.

    The test is the paired t test across seeds: with 5 to 10 pairs, no p-value of a sign-flip test is small
    enough to survive a correction over many classes. Where all seeds change a class by the same amount, the
    step of the test set replaces the spread (:func:`distillab.evidence.gains.grid_floor`). Intervals and
    tests are over draws of seeds and teachers; test examples are taken as fixed.

    Args:
        distilled: Metric per class of the distilled runs, float ``[n_seeds, C]``; NaN where a class does not
            occur in the test set.
        plain: The same of the plain runs, in the same order of seeds, float ``[n_seeds, C]``.
        class_names: ``C`` names.
        resolution: Step of the metric per class, float or float ``[C]``, if known: one over the number of
            test examples of the class for an accuracy.
        confidence: Coverage of the intervals; 1 - confidence is the false discovery rate.
        teachers: The teacher of each seed; None if all have the same, or none.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> plain = [[0.80, 0.70], [0.82, 0.71], [0.81, 0.72], [0.80, 0.71], [0.82, 0.72]]
        >>> distilled = [[0.70, 0.70], [0.73, 0.71], [0.71, 0.73], [0.71, 0.71], [0.72, 0.72]]
        >>> [(harm.name, harm.direction) for harm in class_harms(distilled, plain, ["cat", "dog"])]
        [('cat', 'loses'), ('dog', 'undecided')]
    """
    after, before = np.asarray(distilled, dtype=np.float64), np.asarray(plain, dtype=np.float64)
    if after.shape != before.shape or after.ndim != 2 or after.shape[1] != len(class_names):
        raise ValueError(
            f"both arrays must be [n_seeds, {len(class_names)}], not {after.shape} and {before.shape}"
        )
    steps: list[float | None] = [None] * len(class_names)
    if resolution is not None:
        steps = np.broadcast_to(np.asarray(resolution, dtype=np.float64), after.shape[1:]).tolist()
    harms = [
        _one_class(name, after[:, c], before[:, c], step, confidence, teachers)
        for c, (name, step) in enumerate(zip(class_names, steps, strict=True))
    ]
    tested = [c for c, harm in enumerate(harms) if harm.n_pairs > 1]
    adjusted = benjamini_hochberg([harms[c].p_value for c in tested])
    for c, p in zip(tested, adjusted.tolist(), strict=True):
        enough = harms[c].n_pairs >= LEAST_PAIRS
        decided = enough and p <= 1.0 - confidence and harms[c].gain != 0.0
        direction: Direction = "undecided" if not decided else "gains" if harms[c].gain > 0 else "loses"
        harms[c] = replace(harms[c], p_adjusted=p, direction=direction)
    return harms


def _one_class(
    name: str,
    after: FloatArray,
    before: FloatArray,
    step: float | None,
    confidence: float,
    teachers: Sequence[Hashable] | None,
) -> ClassHarm:
    both = np.isfinite(after) & np.isfinite(before)
    nan = float("nan")
    if not both.any():
        return ClassHarm(name, 0, nan, nan, nan, nan, nan, "undecided")
    after, before = after[both], before[both]
    used = None if teachers is None else [each for each, here in zip(teachers, both, strict=True) if here]
    gain = paired_gain(after, before, confidence=confidence, resolution=step, teachers=used)
    p = _paired_t(after, before, step, confidence, used)
    return ClassHarm(name, gain.n_pairs, gain.gain, gain.ci_low, gain.ci_high, p, p, "undecided")


def _paired_t(
    after: FloatArray,
    before: FloatArray,
    step: float | None,
    confidence: float,
    teachers: Sequence[Hashable] | None,
) -> float:
    """Return the two-sided p-value of the paired t test, over draws of seeds and teachers.

    The standard error is kept above what the step of the metric allows.
    """
    differences = after - before
    n, mean = len(differences), float(differences.mean())
    if n < 2 or mean == 0.0:
        return 1.0
    known = step if step is not None else smallest_gap(np.concatenate([after, before]))
    floor = 0.0 if known is None else grid_floor(n, known, confidence)
    variance = variance_over_seeds(differences, teachers)
    least_error = floor / variance.t(0.5 + confidence / 2.0)
    error = math.sqrt(variance.value)
    # The smallest gap only replaces an unknown step: it must not widen a spread that was observed.
    error = max(error, least_error) if step is not None or np.ptp(differences) < NO_DIFFERENCE else error
    return float(2.0 * stats.t.sf(abs(mean) / error, variance.freedom)) if error > 0 else 1.0


def harm_metrics(task: Task) -> list[Metric]:
    """Return the metrics of a task that show harm behind an average: worst parts, rare classes, calibration.

    Example:
        >>> from distillab.tasks import Classification
        >>> [metric.name for metric in harm_metrics(Classification())][:4]
        ['worst_class_accuracy', 'worst_group_accuracy', 'nll', 'brier']
    """
    return [metric for metric in task.metrics.values() if shows_harm(metric)]


def shows_harm(metric: Metric) -> bool:
    """Return True for a metric of the worst class or group, of rare classes, or of calibration.

    Example:
        >>> from distillab.tasks import Classification
        >>> [shows_harm(Classification.metrics[name]) for name in ("tail_accuracy", "accuracy")]
        [True, False]
    """
    return metric.kind == "calibration" or metric.name.startswith(("worst_", "tail_"))
