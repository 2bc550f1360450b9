"""Prior and pilot, weighed by their measured errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtr

from distillab.evidence.draws import Variance


@dataclass(frozen=True)
class GainEstimate:
    """A gain with its error.

    Attributes:
        mean: The expected gain, as a fraction.
        variance: The variance of its error.

    Example:
        >>> GainEstimate(0.01, Variance(0.0001, freedom=4.0)).deviation
        0.01
    """

    mean: float
    variance: Variance

    @property
    def deviation(self) -> float:
        """The standard deviation of its error."""
        return math.sqrt(self.variance.value)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of Student's t, both ends."""
        half = self.variance.t(0.5 + confidence / 2) * self.deviation
        return self.mean - half, self.mean + half

    def probability_above(self, value: float) -> float:
        """Return the probability that the gain exceeds a value.

        Example:
            >>> GainEstimate(0.0, Variance(0.0001)).probability_above(0.0)
            0.5
        """
        if self.deviation == 0.0:
            return float(self.mean > value)
        freedom = min(self.variance.freedom, 1e9)
        return float(stdtr(freedom, (self.mean - value) / self.deviation))


@dataclass(frozen=True)
class Posterior:
    """What prior and pilot give together.

    Attributes:
        estimate: The precision-weighted mean with its variance.
        pilot_weight: The share of the pilot, from 0 (none was run) to 1 (there is no prior).
        prior: The prior; None without an evidence base.
        pilot: The pilot, extrapolated; None if none was run.
    """

    estimate: GainEstimate
    pilot_weight: float
    prior: GainEstimate | None
    pilot: GainEstimate | None


def combine(prior: GainEstimate | None, pilot: GainEstimate | None) -> Posterior | None:
    """Return the precision-weighted mean of a prior and a pilot; None if there is neither.

    Each is weighted by the inverse of its variance: of the prior, that of its residuals on base sets that it
    was not fitted on; of the pilot, that of its mean and of the step from the pilot to a full training.

    Args:
        prior: The prior; None without an evidence base.
        pilot: The pilot; None if none was run.

    Example:
        >>> even = combine(GainEstimate(0.02, Variance(1e-4)), GainEstimate(0.04, Variance(1e-4)))
        >>> round(even.estimate.mean, 3), round(even.estimate.variance.value, 6), even.pilot_weight
        (0.03, 5e-05, 0.5)
    """
    if prior is None or pilot is None:
        only = prior or pilot
        return None if only is None else Posterior(only, float(only is pilot), prior, pilot)
    a, b = prior.variance.value, pilot.variance.value
    weight = 1.0 if b == 0 else 0.0 if math.isinf(b) else a / (a + b)
    mean = (1 - weight) * prior.mean + weight * pilot.mean if weight else prior.mean
    parts = Variance((1 - weight) ** 2 * a, prior.variance.freedom)
    if weight:
        parts = parts + Variance(weight**2 * b, pilot.variance.freedom)
    return Posterior(GainEstimate(mean, parts), weight, prior, pilot)
