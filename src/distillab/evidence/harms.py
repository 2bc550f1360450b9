"""Who pays for a gain on average: the change of every class, or of every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.gains import grid_floor, paired_gain, smallest_gap
from distillab.evidence.verdicts import benjamini_hochberg

Values = npt.NDArray[np.float64]
Change = Literal["loses", "gains", "undecided"]


@dataclass(frozen=True)
class ClassHarm:
    """What distillation did to one class (or group).

    Attributes:
        name: the class's name.
        n_pairs: number of seeds; 0 if the class has no test image.
        gain: mean accuracy gain, NaN without pairs.
        ci_low, ci_high: interval of the gain (:func:`distillab.evidence.gains.guarded_interval`).
        p_value: paired t test across seeds.
        p_adjusted: the same after Benjamini and Hochberg over all classes.
        change: ``loses`` or ``gains`` where ``p_adjusted`` is at most 1 - confidence, else ``undecided``.
    """

    name: str
    n_pairs: int
    gain: float
    ci_low: float
    ci_high: float
    p_value: float
    p_adjusted: float
    change: Change


def class_harms(
    distilled: npt.ArrayLike,
    plain: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    resolution: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> list[ClassHarm]:
    """Which classes lose and which gain, in class order. Serves groups as well.

    The test is the paired t test across seeds: with 5 to 10 pairs no p-value of a sign-flip test is small
    enough to survive a correction over many classes. Where all seeds change a class by the same amount, the
    step of the test set stands in for the spread (:func:`distillab.evidence.gains.grid_floor`).

    Args:
        distilled: float ``[n_seeds, C]``, accuracies in [0, 1]; NaN for a class without a test image.
        plain: float ``[n_seeds, C]``, of the same seeds in the same order.
        class_names: ``C`` names.
        resolution: one over the number of test images of each class, float or float ``[C]``, if known.
        confidence: coverage of the intervals; 1 - confidence is the false discovery rate.

    Raises:
        ValueError: for shapes that do not fit.
    """
    after, before = np.asarray(distilled, dtype=np.float64), np.asarray(plain, dtype=np.float64)
    if after.shape != before.shape or after.ndim != 2 or after.shape[1] != len(class_names):
        raise ValueError(f"need [n_seeds, {len(class_names)}] twice, not {after.shape} and {before.shape}")
    steps: list[float | None] = [None] * len(class_names)
    if resolution is not None:
        steps = np.broadcast_to(np.asarray(resolution, dtype=np.float64), after.shape[1:]).tolist()
    found = [
        _one_class(name, after[:, c], before[:, c], step, confidence)
        for c, (name, step) in enumerate(zip(class_names, steps, strict=True))
    ]
    tested = [c for c, harm in enumerate(found) if harm.n_pairs > 1]
    adjusted = benjamini_hochberg([found[c].p_value for c in tested])
    for c, p in zip(tested, adjusted.tolist(), strict=True):
        decided = p <= 1.0 - confidence and found[c].gain != 0.0
        change: Change = "undecided" if not decided else "gains" if found[c].gain > 0 else "loses"
        found[c] = replace(found[c], p_adjusted=p, change=change)
    return found


def _one_class(name: str, after: Values, before: Values, step: float | None, confidence: float) -> ClassHarm:
    both = np.isfinite(after) & np.isfinite(before)
    nan = float("nan")
    if not both.any():
        return ClassHarm(name, 0, nan, nan, nan, nan, nan, "undecided")
    after, before = after[both], before[both]
    gain = paired_gain(after, before, confidence=confidence, resolution=step)
    p = _paired_t(after, before, step, confidence)
    return ClassHarm(name, gain.n_pairs, gain.gain, gain.ci_low, gain.ci_high, p, p, "undecided")


def _paired_t(after: Values, before: Values, step: float | None, confidence: float) -> float:
    """Two-sided p of the paired t test, its standard error kept above what the grid of the metric allows."""
    differences = after - before
    n, mean = len(differences), float(differences.mean())
    if n < 2 or mean == 0.0:
        return 1.0
    known = step if step is not None else smallest_gap(np.concatenate([after, before]))
    floor = 0.0 if known is None else grid_floor(n, known, confidence)
    least_error = floor / float(stats.t.ppf(0.5 + confidence / 2.0, n - 1))
    error = float(differences.std(ddof=1) / np.sqrt(n))
    # The smallest gap is only a stand-in for the step: it must not widen a spread that was really seen.
    error = max(error, least_error) if step is not None or np.ptp(differences) < 1e-12 else error
    return float(2.0 * stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else 1.0
