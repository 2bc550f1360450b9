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
# Noise towards one class resembles two classes that are hard to tell apart: only a strong probe judges it.
_WEAKEST_DIRECTED = 0.75
_DIRECTED_RATES = np.concatenate([np.arange(0, 12) / 400, np.arange(6, 20) / 200, np.arange(10, 46) / 100])
_OTHER_RATES = np.array([0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2])


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

    Wrong labels that all go from a class to one other class look like difficult images and are mostly not
    counted; see :func:`estimate_directed_noise`.

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
    judges = high - low <= _WIDEST and _strength(probed, rate) >= _WEAKEST
    return NoiseEstimate(rate, low, high, judges, wrong, clean)


@dataclass(frozen=True)
class DirectedNoise:
    """Wrong labels that go from each class to one other class.

    Attributes:
        rate: Estimated share of such labels, in [0, 1].
        low: Lower end of its 95 % interval.
        high: Upper end of that interval.
        judges: Whether the probe is strong enough for a conclusion.

    Example:
        >>> DirectedNoise(0.1, 0.09, 0.11, judges=True).interval.how
        'profile likelihood'
    """

    rate: float
    low: float
    high: float
    judges: bool

    @property
    def interval(self) -> Interval:
        """The interval of the rate."""
        return Interval(self.low, self.high, "profile likelihood")


def estimate_directed_noise(probed: ProbePredictions) -> DirectedNoise:
    """Return the share of labels that were moved from each class to one other class.

    The model of :func:`estimate_label_noise` has one more component: with probability s the label is that
    class which images of the true class carry most often instead. Such noise is the same for typical and for
    difficult images of a class, and the overlap of two classes is not; a probe that separates the classes
    badly cannot tell.

    Args:
        probed: Out-of-fold predictions for N images of C >= 3 classes that all occur.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = np.arange(600) % 3
        >>> given = np.where(rng.random(600) < 0.1, (truth + 1) % 3, truth)
        >>> found = estimate_directed_noise(ProbePredictions(0.01 + 0.97 * np.eye(3)[truth], given))
        >>> bool(found.low < (given != truth).mean() < found.high)
        True
    """
    classes = probed.probabilities.shape[1]
    sample = np.arange(len(probed.labels))[:: max(1, len(probed.labels) // _SAMPLE_SIZE)]
    labels, rows = probed.labels[sample], np.arange(len(sample))
    logs = np.log(np.maximum(probed.probabilities[sample], 1e-300))
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (probed.predicted[sample], labels), 1)
    np.fill_diagonal(confusion, -1)
    moved = np.eye(classes)[confusion.argmax(axis=1)]  # one at the class that each class moves to
    profile = np.full(len(_DIRECTED_RATES), -np.inf)
    for sharpening in _SHARPENINGS[::2]:
        clean = softmax(logs * sharpening, axis=1)
        given, towards = clean[rows, labels], (clean @ moved)[rows, labels]
        for other in _OTHER_RATES:
            mixed = _DIRECTED_RATES[:, None] * (towards - given) + (1 - other) * given
            mixed += other * (1 - given) / (classes - 1)
            profile = np.maximum(profile, np.log(np.maximum(mixed, 1e-12)).sum(axis=1))
    best = int(profile.argmax())
    rate = float(_DIRECTED_RATES[best])
    low, high = _interval(_DIRECTED_RATES, profile - profile[best] + _HALF_CHI_SQUARED)
    judges = high - low <= _WIDEST and _strength(probed, rate) >= _WEAKEST_DIRECTED
    return DirectedNoise(rate, low, high, judges)


def _strength(probed: ProbePredictions, rate: float) -> float:
    """Return the accuracy of a probe beyond chance, as it would be on right labels."""
    return (probed.balanced_accuracy - probed.chance) / (1 - probed.chance) / (1 - rate)


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
