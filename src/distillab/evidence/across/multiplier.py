"""What distillation is worth in data: the data multiplier, and the size from which on it no longer helps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.across.base_sets import expanded_level
from distillab.evidence.across.monotone import as_curve
from distillab.evidence.across.size_curves import (
    FARTHEST,
    LEAST_SIZES,
    Refused,
    SizeCurve,
    fit_size_curve,
    not_monotone,
)
from distillab.evidence.draws import FloatArray
from distillab.evidence.gains import paired_gain
from distillab.study.spec.seeds import LEAST_PAIRS

CURVE_RESAMPLES = 999
GRID_POINTS = 400


@dataclass(frozen=True)
class DataMultiplier:
    """How much more data plain training needs: m(n) / n.

    Attributes:
        size: n, the number of examples that the student is distilled on.
        value: The multiplier: plain training on ``value * size`` examples scores as high. NaN if refused.
        ci_low: Lower end of the bootstrap interval over seeds; 0 if it lies below the smallest measured size,
            or with fewer than 5 seeds.
        ci_high: Upper end; infinite if it lies beyond four times the largest measured size, or with fewer
            than 5 seeds.
        refused: Why there is no value; None if there is one.
        bound: If refused as too far or too small, the multiplier is at least, or at most, this.

    Example:
        >>> DataMultiplier(size=50.0, value=2.1, ci_low=1.8, ci_high=2.4).value
        2.1
    """

    size: float
    value: float
    ci_low: float
    ci_high: float
    refused: Refused | None = None
    bound: float = np.nan


@dataclass(frozen=True)
class BreakEven:
    """The size at which the gain changes its sign.

    Attributes:
        size: The size.
        ci_low: Lower end of the bootstrap interval over seeds.
        ci_high: Upper end of that interval.
        helps_below: Whether distillation helps below the size, and not above; else the other way round.
        extrapolated: Whether the size is larger than any that was measured.

    Example:
        >>> BreakEven(90.0, 70.0, 120.0, helps_below=True, extrapolated=False).size
        90.0
    """

    size: float
    ci_low: float
    ci_high: float
    helps_below: bool
    extrapolated: bool


@dataclass(frozen=True)
class SizeComparison:
    """Plain and distilled students over sizes.

    Attributes:
        plain: The curve of plain students.
        distilled: The curve of distilled students.
        multipliers: The data multiplier at every measured size.
        break_even: Where the gain vanishes, or why no such size is stated.

    Example:
        >>> n, scores = [10, 20, 40, 80], np.array([[0.5, 0.6, 0.66, 0.7], [0.51, 0.6, 0.66, 0.71]])
        >>> found = compare_over_sizes(n, scores, scores, resamples=2)
        >>> [round(each.value, 2) for each in found.multipliers]
        [1.0, 1.0, 1.0, 1.0]
    """

    plain: SizeCurve
    distilled: SizeCurve
    multipliers: tuple[DataMultiplier, ...]
    break_even: BreakEven | Refused


def compare_over_sizes(
    sizes: npt.ArrayLike,
    plain: npt.ArrayLike,
    distilled: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = CURVE_RESAMPLES,
) -> SizeComparison | Refused:
    """Return both curves, the data multiplier and the break-even size, with intervals over seeds.

    Distilling on n examples is worth plain training on m(n), where the plain curve reaches the distilled
    score at n. Beyond four times the largest measured size nothing is stated but a bound. The bootstrap draws
    seeds with replacement, the same for both arms and all sizes, and fits the forms again. Its quantiles are
    taken at :func:`distillab.evidence.across.base_sets.expanded_level`, because seeds are few. A break-even
    size is stated where the interval of it has two ends.

    Args:
        sizes: Increasing sizes, float ``[k]``.
        plain: Scores of plain students in [0, 1], larger is better, float ``[seeds, k]``.
        distilled: Scores of distilled students of the same seeds, float ``[seeds, k]``.
        confidence: Nominal coverage of the intervals.
        resamples: Number of resamples of the seeds.

    Returns:
        The comparison; a refusal with fewer than 4 sizes.

    Raises:
        ValueError: Shapes do not match, sizes do not increase, or a score is not in [0, 1].

    Example:
        >>> n = np.array([25.0, 50.0, 100.0, 200.0, 400.0])
        >>> def plain_score(n): return 0.9 - 0.8 * n**-0.3
        >>> found = compare_over_sizes(n, [plain_score(n)] * 3, [plain_score(2 * n)] * 3, resamples=2)
        >>> [round(each.value, 1) for each in found.multipliers]
        [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    n, before = as_curve(sizes, plain)
    _, after = as_curve(sizes, distilled)
    if before.shape != after.shape:
        raise ValueError(f"both arms need the same seeds, not {before.shape} and {after.shape}")
    if len(n) < LEAST_SIZES:
        return Refused("too few sizes", f"A curve needs at least {LEAST_SIZES} sizes, not {len(n)}.")
    alpha = 1.0 - confidence
    one, other = fit_size_curve(n, before, alpha=alpha), fit_size_curve(n, after, alpha=alpha)
    if refused := _cannot_compare(one, other, before, confidence):
        refusals = tuple(DataMultiplier(size, np.nan, 0.0, np.inf, refused) for size in n.tolist())
        return SizeComparison(one, other, refusals, refused)
    grid = np.geomspace(n[0], FARTHEST * n[-1], GRID_POINTS)
    chosen = np.random.default_rng(len(before)).integers(0, len(before), size=(resamples, len(before)))
    of_plain = one.resampled(before[chosen].mean(axis=1), grid)
    of_distilled = other.resampled(after[chosen].mean(axis=1), np.concatenate([grid, n]))
    gains, at_sizes = of_distilled[:, : len(grid)] - of_plain, of_distilled[:, len(grid) :]
    tails = _tails(len(before), confidence)
    ratios = np.array([_multipliers(*curves, grid, n) for curves in zip(of_plain, at_sizes, strict=True)])
    observed = _multipliers(one.predict(grid), other.predict(n), grid, n)
    multipliers = tuple(
        _multiplier(size, value, _ends(ratios[:, i], tails), grid)
        for i, (size, value) in enumerate(zip(n.tolist(), observed, strict=True))
    )
    even = _break_even(other.predict(grid) - one.predict(grid), gains, grid, n, tails)
    return SizeComparison(one, other, multipliers, even)


def _cannot_compare(
    plain: SizeCurve, distilled: SizeCurve, scores: FloatArray, confidence: float
) -> Refused | None:
    """Return why scores cannot be turned into sizes, if so."""
    for curve in (plain, distilled):
        if curve.monotone.falls:
            return not_monotone(curve.monotone)
    if len(scores) > 1:
        rise = paired_gain(scores[:, -1], scores[:, 0], confidence=confidence)
        if rise.ci_low <= 0.0:
            first, last = plain.sizes[0], plain.sizes[-1]
            reason = f"The score of plain students does not rise beyond its noise from {first:g} to {last:g}."
            return Refused("flat", reason)
    return None


def _multipliers(
    of_plain: FloatArray, at_sizes: FloatArray, grid: FloatArray, sizes: FloatArray
) -> FloatArray:
    """Return m(n) / n at sizes; 0 where m lies below the grid, infinite where it lies beyond."""
    rising = np.maximum.accumulate(of_plain)
    steps = np.concatenate([[True], np.diff(rising) > 0])  # where flat, the smallest size counts
    reached = np.exp(np.interp(at_sizes, rising[steps], np.log(grid[steps])))
    reached = np.where(at_sizes < rising[0], 0.0, np.where(at_sizes > rising[-1], np.inf, reached))
    return np.asarray(reached / sizes)


def _multiplier(size: float, value: float, ends: tuple[float, float], grid: FloatArray) -> DataMultiplier:
    low, high = ends
    if np.isinf(value):
        bound = float(grid[-1]) / size
        reason = (
            f"Distilling on {size:g} is worth plain training on more than {grid[-1]:g}, {FARTHEST:g} times "
            "the largest measured size."
        )
        return DataMultiplier(size, np.nan, low, high, Refused("too far", reason), bound)
    if value == 0.0:
        bound = float(grid[0]) / size
        reason = f"Distilling on {size:g} scores less than plain training on {grid[0]:g}, the smallest size."
        return DataMultiplier(size, np.nan, low, high, Refused("too small", reason), bound)
    return DataMultiplier(size, float(value), low, high)


def _break_even(
    gain: FloatArray, drawn: FloatArray, grid: FloatArray, sizes: FloatArray, tails: tuple[float, float]
) -> BreakEven | Refused:
    """Return where the gain changes its sign."""
    signs = np.sign(gain)
    changes = np.flatnonzero(np.diff(signs[signs != 0.0]))
    if len(changes) != 1:
        how = "has the same sign" if not len(changes) else "changes its sign more than once"
        reason = f"The gain {how} between {grid[0]:g} and {grid[-1]:g}, {FARTHEST:g} times the largest size."
        return Refused("no crossing", reason)
    helps_below = bool(signs[signs != 0.0][0] > 0)
    sign = 1.0 if helps_below else -1.0
    found = _crossing(sign * gain, grid)
    low, high = _ends(np.array([_crossing(sign * each, grid) for each in drawn]), tails)
    if low == 0.0 or np.isinf(high):
        reason = f"The gain changes its sign near {found:.0f}, but noise allows that it never does."
        return Refused("no crossing", reason)
    return BreakEven(found, low, high, helps_below, extrapolated=bool(found > sizes[-1]))


def _crossing(gain: FloatArray, grid: FloatArray) -> float:
    """Return the first size at which a gain is no longer positive; 0 if it never is, infinite if always."""
    below = np.flatnonzero(gain <= 0.0)
    if not len(below):
        return np.inf
    if not below[0]:
        return 0.0
    i = int(below[0])
    share = gain[i - 1] / (gain[i - 1] - gain[i])
    return float(np.exp(np.log(grid[i - 1]) + share * np.log(grid[i] / grid[i - 1])))


def _tails(seeds: int, confidence: float) -> tuple[float, float]:
    """Return the quantile levels of the interval; those of all there can be, with fewer than 5 seeds."""
    level = expanded_level(confidence, seeds) if seeds >= LEAST_PAIRS else -1.0
    return level, 1.0 - level


def _ends(values: FloatArray, tails: tuple[float, float]) -> tuple[float, float]:
    """Return the quantiles of values that may be 0 or infinite, which cannot be interpolated."""
    if tails[0] < 0.0:
        return 0.0, np.inf
    low, high = np.quantile(values, tails[0], method="lower"), np.quantile(values, tails[1], method="higher")
    return float(low), float(high)
