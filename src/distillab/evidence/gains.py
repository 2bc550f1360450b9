"""The paired gain: metric(distilled) - metric(plain) at the same seed, with an interval and a p-value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from distillab.evidence.draws import (
    FloatArray,
    Variance,
    sums_by_teacher,
    variance_of_the_mean,
    variance_over_examples,
    variance_over_seeds,
)

MAX_ENUMERATED = 16  # 2**15 sums after using the symmetry; with more pairs, sign flips are sampled
SAMPLED_FLIPS = 99_999
NO_DIFFERENCE = 1e-12  # metrics are ratios of counts or float64 means; values closer than this are equal


@dataclass(frozen=True)
class Gain:
    """A mean paired difference with its uncertainty.

    Attributes:
        n_pairs: Number of seeds with both runs.
        gain: Mean of distilled - plain, in the unit and direction of the metric.
        ci_low: Lower end of the confidence interval of the mean; infinite if the spread is unknown. It covers
            new seeds, new teachers unless all pairs have the same, and new test examples where contributions
            were given.
        ci_high: Upper end of that interval.
        p_value: Exact two-sided sign-flip p-value.
        ci_low_same_test: Lower end of the interval for the same test examples.
        ci_high_same_test: Upper end of that interval.

    Example:
        >>> gain = Gain(5, gain=0.012, ci_low=0.001, ci_high=0.023, p_value=0.0625,
        ...             ci_low_same_test=0.004, ci_high_same_test=0.020)
        >>> gain.n_pairs
        5
    """

    n_pairs: int
    gain: float
    ci_low: float
    ci_high: float
    p_value: float
    ci_low_same_test: float = -np.inf
    ci_high_same_test: float = np.inf


def paired_gain(
    distilled: npt.ArrayLike,
    plain: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resolution: float | None = None,
    teachers: Sequence[Hashable] | None = None,
    contributions: npt.ArrayLike | None = None,
) -> Gain:
    """Return the mean gain of distilled runs over plain runs that differ from them only in the loss.

    The interval is that of :func:`guarded_interval` with the variance over all draws: of seeds and teachers
    (:func:`variance_over_seeds`), and of test examples (:func:`variance_over_examples`). It is never narrower
    than that for the same test examples.

    A single pair gives an infinite interval and p = 1, since it holds no information on the spread. The
    interval of differences that are all equal never has zero width; see :func:`grid_floor`.

    Args:
        distilled: Metric of the distilled runs, one per seed; float ``[n]``.
        plain: Metric of the plain runs, in the same order of seeds; float ``[n]``.
        confidence: Nominal coverage of the interval.
        resolution: Smallest step of the metric, 1 / n_test for an accuracy. None if the metric has no step
            or the step is unknown; if all differences are then equal, the smallest gap between two observed
            values is used instead (it is never smaller than the true step).
        teachers: The teacher of each pair; None if all have the same, or none. The p-value flips the signs of
            all pairs of a teacher together, where several teachers have fewer than the pairs.
        contributions: What each test example adds to each difference, float ``[n, m]``, whose means over
            examples are the differences. None if test examples are taken as fixed.

    Raises:
        ValueError: Lengths differ, there are no pairs, a value is NaN or infinite, or the confidence is
            outside (0, 1).

    Example:
        >>> gain = paired_gain([0.81, 0.84, 0.83], [0.80, 0.81, 0.81], resolution=0.01)
        >>> gain.n_pairs, round(gain.gain, 3), gain.p_value
        (3, 0.02, 0.25)
    """
    return PairedDifferences.of(
        distilled, plain, resolution=resolution, teachers=teachers, contributions=contributions
    ).gain(confidence)


@dataclass(frozen=True)
class PairedDifferences:
    """The differences between distilled and plain runs, and what their mean varies over.

    Attributes:
        values: distilled - plain per seed, float64 ``[n]``.
        sums: The independent parts of their sum; see :func:`sums_by_teacher`.
        step: The smallest step of the metric, or None.
        over_seeds: Variance of the mean over seeds and teachers; None for a single pair.
        over_examples: Variance of the mean over test examples; 0 if they are taken as fixed.
        same_runs: Variance of the mean over test examples for these very networks, which a bootstrap over
            test examples estimates; None if they are taken as fixed.
        n_teachers: Number of teachers behind the pairs; None without teachers.
    """

    values: FloatArray
    sums: FloatArray
    step: float | None
    over_seeds: Variance | None
    over_examples: Variance
    n_teachers: int | None = None
    same_runs: Variance | None = None

    @classmethod
    def of(
        cls,
        distilled: npt.ArrayLike,
        plain: npt.ArrayLike,
        *,
        resolution: float | None = None,
        teachers: Sequence[Hashable] | None = None,
        contributions: npt.ArrayLike | None = None,
    ) -> PairedDifferences:
        """Return the differences of some pairs; the arguments and errors are those of :func:`paired_gain`."""
        after, before = np.asarray(distilled, dtype=np.float64), np.asarray(plain, dtype=np.float64)
        if after.shape != before.shape or after.ndim != 1 or not len(after):
            raise ValueError(
                "pairs must be two non-empty 1-d arrays of equal length, "
                f"not {after.shape} and {before.shape}"
            )
        if not (np.isfinite(after).all() and np.isfinite(before).all()):
            raise ValueError("a pair contains NaN or infinity; runs without a result cannot be paired")
        values = after - before
        if resolution is None and np.ptp(values) < NO_DIFFERENCE:
            resolution = smallest_gap(np.concatenate([after, before]))
        several = len(values) > 1
        return cls(
            values,
            sums_by_teacher(values, teachers),
            resolution,
            variance_over_seeds(values, teachers) if several else None,
            variance_over_examples(np.asarray(contributions, dtype=np.float64))
            if several and contributions is not None
            else Variance(0.0),
            len(set(teachers)) if teachers else None,
            None
            if contributions is None
            else variance_of_the_mean(np.asarray(contributions, dtype=np.float64).mean(axis=0)),
        )

    def gain(self, confidence: float) -> Gain:
        """Return the mean gain with its intervals and its p-value."""
        n, mean = len(self.values), float(self.values.mean())
        return Gain(
            n,
            mean,
            *self.interval(confidence),
            sign_flip_p(self.sums),
            *self.interval(confidence, same_test=True),
        )

    def interval(self, confidence: float, *, same_test: bool = False) -> tuple[float, float]:
        """Return the interval of the mean gain, for new test examples or for the same ones."""
        floor = 0.0 if self.step is None else grid_floor(len(self.values), self.step, confidence)

        def ends(variance: Variance | None) -> tuple[float, float]:
            low, high = self._sample.interval(confidence, floor, variance)
            return float(low), float(high)

        low, high = ends(self.over_seeds)
        if same_test or self.over_seeds is None or not self.over_examples.value:
            return low, high
        wider = ends(self.over_seeds + self.over_examples)
        return min(low, wider[0]), max(high, wider[1])

    def interval_same_runs(self, confidence: float) -> tuple[float, float] | None:
        """Return the interval of the mean gain of these very networks on new test examples.

        It is that of a bootstrap over test examples, without its draws. It says nothing about other seeds.
        The result is None if test examples are taken as fixed, or if there is one.
        """
        if self.same_runs is None or not np.isfinite(self.same_runs.value):
            return None
        half = self.same_runs.t(0.5 + confidence / 2.0) * float(np.sqrt(self.same_runs.value))
        mean = float(self.values.mean())
        return mean - half, mean + half

    @cached_property
    def _sample(self) -> _Sample:
        """What intervals at all levels of confidence have in common."""
        return _Sample.of(self.values)


def guarded_interval(
    differences: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    floor: float = 0.0,
    variance: Variance | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return a confidence interval of the mean of a few differences: Student's t, guarded against skewness.

    The end on the side of the longer tail is moved outwards by the first term of the Edgeworth correction of
    the studentized mean, ``g1 s (1 + 2 z^2) / (6 n)`` (Johnson 1978; Hall, The Bootstrap and Edgeworth
    Expansion, 1992, section 3), with ``g1`` the sample skewness m3 / m2^1.5 and ``z`` the normal quantile; an
    end never moves inwards. The method was chosen by simulation at 5 to 10 pairs: see docs/statistics.md and
    benchmarks/interval_coverage.py.

    Args:
        differences: Paired differences, float ``[..., n]``.
        confidence: Nominal coverage.
        floor: Smallest admissible half-width, from :func:`grid_floor`.
        variance: Of the mean, with its degrees of freedom. By default that of independent differences.

    Returns:
        The lower and the upper end, float64 ``[...]`` each; infinite for n = 1, and for equal differences
        without a floor.

    Raises:
        ValueError: The confidence is outside (0, 1).

    Example:
        >>> low, high = guarded_interval([0.01, 0.02, 0.03])
        >>> round(float(low), 4), round(float(high), 4)
        (-0.0048, 0.0448)
    """
    return _Sample.of(differences).interval(confidence, floor, variance)


@dataclass(frozen=True)
class _Sample:
    """What the interval of :func:`guarded_interval` depends on, besides its confidence.

    Attributes:
        n: Number of differences.
        mean: Their mean, float64 ``[...]``, as the others.
        spread: Their standard deviation; 0 if they are equal.
        skewness: Their sample skewness; 0 if they are equal.
        equal: Whether they are equal.
    """

    n: int
    mean: FloatArray
    spread: FloatArray
    skewness: FloatArray
    equal: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, differences: npt.ArrayLike) -> _Sample:
        """Return the sample of differences, float ``[..., n]``."""
        values = np.asarray(differences, dtype=np.float64)
        n, mean = values.shape[-1], np.asarray(values.mean(axis=-1))
        equal = np.asarray(np.ptp(values, axis=-1) < NO_DIFFERENCE)
        centered = values - mean[..., None]
        m2, m3 = (centered**2).mean(axis=-1), (centered**3).mean(axis=-1)
        spread = np.where(equal, 0.0, np.sqrt(m2 * n / max(n - 1, 1)))
        return cls(n, mean, spread, np.where(equal, 0.0, m3 / np.where(equal, 1.0, m2) ** 1.5), equal)

    def interval(
        self, confidence: float, floor: float, variance: Variance | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the interval; the arguments and errors are those of :func:`guarded_interval`."""
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must be in (0, 1), not {confidence}")
        if self.n < 2:
            return np.full_like(self.mean, -np.inf), np.full_like(self.mean, np.inf)
        tail = 0.5 + confidence / 2.0
        if variance is None:
            half = stdtrit(self.n - 1, tail) * self.spread / np.sqrt(self.n)
        else:
            half = variance.t(tail) * np.sqrt(variance.value)
        half = np.maximum(half, floor)
        half = np.where(self.equal & (half <= 0.0), np.inf, half)
        guard = self.skewness * self.spread * (1.0 + 2.0 * ndtri(tail) ** 2) / (6.0 * self.n)
        return self.mean - half + np.minimum(guard, 0.0), self.mean + half + np.maximum(guard, 0.0)


def grid_floor(n: int, resolution: float, confidence: float = 0.95) -> float:
    """Return the smallest admissible half-width for a metric that moves in steps.

    It is ``resolution (1 - (a/2)^(1/n))``: after n equal differences, with confidence 1 - a, the next seed
    may still differ from them with a probability of up to ``1 - (a/2)^(1/n)`` (Clopper and Pearson 1934,
    none of n observed), and then by at least one step. For 5 pairs and a test set of 1000 images it is
    0.05 points.

    Example:
        >>> round(100 * grid_floor(5, resolution=1 / 1000), 2)
        0.05
    """
    return float(resolution * (1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / n)))


def smallest_gap(values: FloatArray) -> float | None:
    """Return the smallest distance between two different values, or None if all are equal."""
    gaps = np.diff(np.sort(values))
    gaps = gaps[gaps > NO_DIFFERENCE]
    return float(gaps.min()) if len(gaps) else None


def sign_flip_p(differences: npt.ArrayLike) -> float:
    """Return the two-sided p-value of the mean under flips of the sign of each difference (Fisher 1935).

    It is the share of the 2^n flips whose sum is at least as far from zero as the observed sum. For up to 16
    differences all flips are enumerated; for more, 99,999 are sampled with a fixed seed and the observed one
    is counted with them, so that the p-value stays valid (Phipson and Smyth 2010).

    Example:
        >>> sign_flip_p([0.1, 0.2, 0.3, 0.2, 0.1])
        0.0625
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    observed = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # equal sums may differ in their last bits
    if n <= MAX_ENUMERATED:
        sums: npt.NDArray[Any] = values[:1]  # the other half of the flips mirrors these
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= observed).mean())
    extreme = int((np.abs(_sampled_signs(n) @ values) >= observed).sum())
    return (extreme + 1) / (SAMPLED_FLIPS + 1)


@lru_cache(maxsize=2)
def _sampled_signs(n: int) -> FloatArray:
    """Return the random flips for n differences, the same every time, float64 ``[SAMPLED_FLIPS, n]``."""
    rng = np.random.default_rng(n)
    sizes = [min(10_000, SAMPLED_FLIPS - start) for start in range(0, SAMPLED_FLIPS, 10_000)]
    return np.concatenate([2.0 * rng.integers(0, 2, size=(size, n)) - 1.0 for size in sizes])


def smallest_p(n: int) -> float:
    """Return the smallest p-value that :func:`sign_flip_p` can give: 2 / 2^n, and 1 for no differences."""
    if n <= MAX_ENUMERATED:
        return float(min(1.0, 2.0 ** (1 - n)))
    return 1 / (SAMPLED_FLIPS + 1)
