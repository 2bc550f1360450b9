"""Coverage of 95 % intervals for a mean paired gain at 5 to 10 pairs, by simulation.

    python benchmarks/interval_coverage.py

Prints, for each distribution of gains and number of pairs, the share of intervals that contain the true mean
gain, and the mean width relative to Student's t. A star marks a coverage below 93 %.
Takes about half a minute of one idle core.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from distillab.evidence.gains import grid_floor, guarded_interval

Values = npt.NDArray[np.float64]
Ends = tuple[Values, Values]

PAIRS = (5, 6, 8, 10)
REPETITIONS = 20_000  # standard error of a coverage near 95 %: 0.15 points
FEW_REPETITIONS = 1_500  # for what resamples or enumerates: 0.6 points
TARGET_COVERAGE = 0.93


@dataclass(frozen=True)
class GainDistribution:
    """A distribution of paired gains.

    Attributes:
        name: Its name.
        mean: The true mean.
        draw: Draws gains ``[repetitions, n]``.
        step: Smallest difference between gains; 0 if they are continuous.
    """

    name: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, int]], Values]
    step: float = 0.0


def diverged(shift: float) -> GainDistribution:
    """Normal gains of which one in ten lies ``shift`` standard deviations lower."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
        return rng.normal(size=shape) - shift * (rng.random(shape) < 0.1)

    return GainDistribution(f"1 in 10 diverged by {shift:g} sd", -shift / 10, draw)


def counted(images: int, won: float, lost: float) -> GainDistribution:
    """Accuracies on a test set: a share ``won`` of the images becomes right and a share ``lost`` wrong."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
        return (rng.binomial(images, won, shape) - rng.binomial(images, lost, shape)) / images

    return GainDistribution(f"{images} images, {won:.1%} won, {lost:.1%} lost", won - lost, draw, 1 / images)


FAMILIES = (
    GainDistribution("normal", 0.0, lambda rng, shape: rng.normal(size=shape)),
    GainDistribution("uniform", 0.5, lambda rng, shape: rng.random(shape)),
    GainDistribution("t, 5 df", 0.0, lambda rng, shape: rng.standard_t(5, size=shape)),
    GainDistribution("gamma, shape 4", 4.0, lambda rng, shape: rng.gamma(4.0, size=shape)),
    counted(1000, 0.03, 0.02),
    counted(100, 0.03, 0.02),
    counted(100, 0.003, 0.001),
    diverged(3.0),
    diverged(5.0),
    diverged(10.0),
)


def student(x: Values, floor: float) -> Ends:
    """Paired t."""
    half = stats.t.ppf(0.975, x.shape[1] - 1) * x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def johnson(x: Values, floor: float) -> Ends:
    """Johnson's t: both ends moved towards the longer tail by m3 / (6 n s^2)."""
    low, high = student(x, floor)
    variance = np.maximum(x.var(axis=1, ddof=1), 1e-30)
    third = ((x - x.mean(axis=1, keepdims=True)) ** 3).mean(axis=1)
    shift = third / (6 * x.shape[1] * variance)
    return low + shift, high + shift


def guarded(x: Values, floor: float) -> Ends:
    """What distillab reports."""
    return guarded_interval(x, floor=floor)


def sign_flip(x: Values, floor: float) -> Ends:
    """Inverted sign-flip test: order statistics of the means of all subsets (Hartigan 1969)."""
    n = x.shape[1]
    members = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    means = np.sort(x @ (members / members.sum(axis=1, keepdims=True)).T, axis=1)
    rank = int(0.05 * 2**n / 2)
    if rank == 0:
        return np.full(len(x), -np.inf), np.full(len(x), np.inf)
    return means[:, rank - 1], means[:, -rank]


def bootstrap(method: str) -> Callable[[Values, float], Ends]:
    """Percentile or BCa bootstrap of the mean, 999 resamples."""

    def interval(x: Values, floor: float) -> Ends:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # rows of equal values; dealt with below
            found = stats.bootstrap(
                (x,), np.mean, axis=1, vectorized=True, n_resamples=999, batch=100, method=method, rng=0
            ).confidence_interval
        mean = x.mean(axis=1)  # BCa is undefined where all values are equal; the mean is all it can say
        return np.where(np.isnan(found.low), mean, found.low), np.where(
            np.isnan(found.high), mean, found.high
        )

    return interval


def studentised(x: Values, floor: float) -> Ends:
    """Bootstrap-t, 999 resamples (resamples of equal values left out), the same ones for all repetitions."""
    n = x.shape[1]
    drawn = x[:, np.random.default_rng(0).integers(0, n, size=(999, n))]
    mean, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, ddof=1, keepdims=True)
    spreads = drawn.std(axis=2, ddof=1)
    valid = spreads > 1e-12
    ratios = np.where(valid, (drawn.mean(axis=2) - mean) / np.where(valid, spreads, 1.0), np.nan)
    ratios[~valid.any(axis=1)] = 0.0
    upper, lower = np.nanquantile(ratios, [0.975, 0.025], axis=1)
    return mean[:, 0] - upper * spread[:, 0], mean[:, 0] - lower * spread[:, 0]


METHODS: tuple[tuple[str, Callable[[Values, float], Ends], int], ...] = (
    ("t", student, REPETITIONS),
    ("Johnson t", johnson, REPETITIONS),
    ("guarded t", guarded, REPETITIONS),
    ("sign-flip", sign_flip, FEW_REPETITIONS),
    ("percentile", bootstrap("percentile"), FEW_REPETITIONS),
    ("BCa", bootstrap("BCa"), FEW_REPETITIONS),
    ("bootstrap-t", studentised, FEW_REPETITIONS),
)


def main() -> None:
    """Simulate and print the table."""
    print(f"{'gains':34s} pairs  " + "".join(f"{name:>16s}" for name, _, _ in METHODS))
    print(f"{'':34s}        " + "".join(f"{'cover  width':>16s}" for _ in METHODS))
    for family in FAMILIES:
        for n in PAIRS:
            x = family.draw(np.random.default_rng(n), (REPETITIONS, n))
            cells = []
            for _, interval, repetitions in METHODS:
                low, high = interval(x[:repetitions], grid_floor(n, family.step))
                plain_low, plain_high = student(x[:repetitions], 0.0)
                cover = float(((low <= family.mean + 1e-12) & (family.mean - 1e-12 <= high)).mean())
                width = float((high - low).mean() / (plain_high - plain_low).mean())
                cells.append(f"{100 * cover:9.1f}{'*' if cover < TARGET_COVERAGE else ' '}{width:6.2f}")
            print(f"{family.name:34s} {n:5d}  " + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
