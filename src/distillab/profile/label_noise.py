"""The share of wrong labels, estimated together with the error of the probe that judges them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax

from distillab.profile.measure import Interval
from distillab.profile.probe import ProbePredictions

_SAMPLE_SIZE = 5_000  # images of the likelihood; more narrow an interval that is narrow already
_SHARPENINGS = np.geomspace(0.25, 4.0, 25)
_RATES = np.concatenate([np.arange(0, 20) / 1000, np.arange(8, 60) / 400, np.arange(15, 96) / 100])
_HALF_CHI_SQUARED = 1.92  # drop of the log-likelihood at the ends of a 95 % interval, chi-squared(1) / 2
_WIDEST = 0.1  # interval that still judges
_WEAKEST = 1 / 3  # accuracy of the probe beyond chance that still judges


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """Wrong labels of a dataset, as far as a probe can judge them.

    Attributes:
        rate: Estimated share of wrong labels, in [0, 1].
        low: Lower end of its 95 % interval.
        high: Upper end of that interval.
        judges: Whether the probe is strong enough and the interval narrow enough for a conclusion.
        wrong: float64 ``[N]``, the probability that a label is wrong, given the rate.
        clean: float64 ``[N, C]``, probabilities of the true class, without label noise.
    """

    rate: float
    low: float
    high: float
    judges: bool
    wrong: npt.NDArray[np.float64]
    clean: npt.NDArray[np.float64]

    @property
    def interval(self) -> Interval:
        """The interval of the rate."""
        return Interval(self.low, self.high, "profile likelihood")


def estimate_label_noise(probed: ProbePredictions) -> NoiseEstimate:
    """Return the share of wrong labels that explains the predictions of a probe best.

    An image whose label contradicts the probe is a difficult image or has a wrong label. The two differ in
    what the label is instead: difficult images carry labels of classes that the probe holds for possible,
    and wrong labels may be of any class. The label of an image is modelled as its true class with probability
    1 - r and any other with probability r / (C - 1), and its true class as drawn from the probabilities
    of the probe, sharpened by an exponent t. Rate r and sharpening t maximize the likelihood together, so
    that an overconfident probe does not count as noise. The mixture is the noise layer of Goldberger and
    Ben-Reuven, "Training deep neural-networks using a noise adaptation layer", ICLR 2017, with one parameter.
    The interval is that of the profile likelihood.

    Wrong labels between two similar classes look like difficult images and are mostly not counted.

    Args:
        probed: Out-of-fold predictions for N images of C >= 2 classes that all occur.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = np.arange(600) % 3
        >>> given = np.where(rng.random(600) < 0.1, (truth + rng.integers(1, 3, 600)) % 3, truth)
        >>> found = estimate_label_noise(ProbePredictions(0.01 + 0.97 * np.eye(3)[truth], given))
        >>> bool(found.low < (given != truth).mean() < found.high)
        True
    """
    classes = probed.probabilities.shape[1]
    logs = np.log(np.maximum(probed.probabilities, 1e-300))
    sample = np.arange(len(logs))[:: max(1, len(logs) // _SAMPLE_SIZE)]
    given = _given(logs[sample], probed.labels[sample])
    rates = _RATES[(classes - 1) / classes > _RATES]  # beyond it, labels would point away from their classes
    likelihood = np.stack([np.log(_mixed(given, rate, classes)).sum(axis=1) for rate in rates])
    profile = likelihood.max(axis=1)
    best = int(profile.argmax())
    rate = float(rates[best])
    low, high = _interval(rates, profile - profile[best] + _HALF_CHI_SQUARED)
    clean = softmax(logs * _SHARPENINGS[likelihood[best].argmax()], axis=1)
    of_given = clean[np.arange(len(clean)), probed.labels]
    wrong = rate * (1 - of_given) / (classes - 1) / _mixed(of_given, rate, classes)
    beyond_chance = (probed.balanced_accuracy - probed.chance) / (1 - probed.chance)
    judges = high - low <= _WIDEST and beyond_chance / (1 - rate) >= _WEAKEST
    return NoiseEstimate(rate, low, high, judges, wrong, clean)


def _interval(rates: npt.NDArray[np.float64], above: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the first and the last rate at which a function, linear between the rates, is not negative."""
    inside = np.flatnonzero(above >= 0)
    ends = []
    for edge, outside in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        end = rates[edge]
        if 0 <= outside < len(rates):
            end += (rates[outside] - end) * above[edge] / (above[edge] - above[outside])
        ends.append(float(end))
    return ends[0], ends[1]


def _given(logs: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the probability of the given label at each sharpening, float64 ``[T, N]``."""
    rows = np.arange(len(labels))
    return np.stack(
        [np.exp(log_softmax(logs * sharpening, axis=1)[rows, labels]) for sharpening in _SHARPENINGS]
    )


def _mixed(given: npt.NDArray[np.float64], rate: float, classes: int) -> npt.NDArray[np.float64]:
    """Return the probability of the given labels under symmetric noise."""
    mixed: npt.NDArray[np.float64] = np.maximum(
        (1 - rate) * given + rate * (1 - given) / (classes - 1), 1e-12
    )
    return mixed
