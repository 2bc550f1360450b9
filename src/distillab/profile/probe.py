"""A linear probe: how well classes can be predicted from given features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits

FeatureMatrix = npt.NDArray[np.floating[Any]]
_FOLDS = 5
_SHRINKAGE = 0.02  # of the covariance towards a multiple of the identity
_TEMPERATURE_SAMPLE = 5_000  # images that the temperature is fitted on


@dataclass(frozen=True, eq=False)
class ProbePredictions:
    """Predictions of a probe for images that it was not fitted on.

    Attributes:
        probabilities: float64 ``[N, C]``, out of fold, calibrated by one temperature.
        labels: int64 ``[N]``.

    Example:
        >>> probed = ProbePredictions(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> probed.predicted.tolist(), probed.accuracy
        ([0, 0], 0.5)
    """

    probabilities: npt.NDArray[np.float64]
    labels: Indices

    @property
    def predicted(self) -> Indices:
        """Most probable class of each image, int64 ``[N]``."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def counts(self) -> Indices:
        """Images per class, int64 ``[C]``."""
        return np.bincount(self.labels, minlength=self.probabilities.shape[1]).astype(np.int64)

    @property
    def accuracy(self) -> float:
        """Share of images whose predicted class is their label."""
        return float((self.predicted == self.labels).mean())

    @property
    def recalls(self) -> npt.NDArray[np.float64]:
        """Accuracy of each class, float64 ``[C]``; 0 for a class without images."""
        classes = self.probabilities.shape[1]
        hits = np.bincount(self.labels[self.predicted == self.labels], minlength=classes)
        return hits / np.maximum(self.counts, 1)

    @property
    def balanced_accuracy(self) -> float:
        """Mean accuracy of the classes that occur."""
        return float(self.recalls[self.counts > 0].mean())

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing: 1 / (number of classes that occur)."""
        return 1 / int((self.counts > 0).sum())


def probe_out_of_fold(
    features: FeatureMatrix, labels: Indices, ids: Indices, classes: int, *, uniform_prior: bool = False
) -> ProbePredictions:
    """Predict each of five folds by linear discriminant analysis fitted on the other four.

    One pass over the data serves all folds, since class sums and covariances of the other folds are those of
    all images minus those of the fold.

    Args:
        features: float ``[N, D]``.
        labels: int64 ``[N]`` in ``[0, classes)``.
        ids: int64 ``[N]``; they determine the folds, which are stratified.
        classes: C.
        uniform_prior: Whether all classes have the same prior probability, whatever their frequency.

    Example:
        >>> labels = np.arange(40) % 2
        >>> features = np.stack([labels + 0.01 * np.arange(40), np.ones(40)], axis=1)
        >>> probe_out_of_fold(features, labels, np.arange(40), classes=2).accuracy
        1.0
    """
    x = np.asarray(features, dtype=np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    folds = _stratified_folds(labels, ids)
    total, sums, counts = x.T @ x, _class_sums(x, labels, classes), np.bincount(labels, minlength=classes)
    scores = np.empty((len(x), classes))
    for fold in range(_FOLDS):
        own = folds == fold
        part, part_labels = x[own], labels[own]
        weights, offsets = _fit_discriminants(
            total - part.T @ part,
            sums - _class_sums(part, part_labels, classes),
            counts - np.bincount(part_labels, minlength=classes),
            uniform_prior,
        )
        scores[own] = part @ weights.T + offsets
    return ProbePredictions(softmax(scores / _fit_temperature(scores, labels), axis=1), labels)


def fitted_probe_accuracy(
    features: FeatureMatrix, labels: Indices, others: FeatureMatrix, other_labels: Indices, classes: int
) -> float:
    """Return the accuracy on other images of linear discriminant analysis fitted on some.

    Args:
        features: float ``[N, D]`` of the images that the probe is fitted on.
        labels: int64 ``[N]`` in ``[0, classes)``.
        others: float ``[M, D]`` of the images that it is tested on.
        other_labels: int64 ``[M]``.
        classes: C.

    Example:
        >>> labels = np.arange(40) % 2
        >>> features = np.stack([labels + 0.01 * np.arange(40), np.ones(40)], axis=1)
        >>> fitted_probe_accuracy(features[:20], labels[:20], features[20:], labels[20:], classes=2)
        1.0
    """
    fitted = np.asarray(features, dtype=np.float64)
    center, scale = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-9)
    x = (fitted - center) / scale
    sums, counts = _class_sums(x, labels, classes), np.bincount(labels, minlength=classes)
    weights, offsets = _fit_discriminants(x.T @ x, sums, counts, uniform_prior=False)
    scores = (np.asarray(others, dtype=np.float64) - center) / scale @ weights.T + offsets
    return float((scores.argmax(axis=1) == other_labels).mean())


def _stratified_folds(labels: Indices, ids: Indices) -> Indices:
    """Assign folds by rank within the class, in an order drawn from the ids."""
    order = np.lexsort((random_bits(ids, 0xF01D), labels))
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % _FOLDS
    return folds


def _class_sums(x: FeatureMatrix, labels: Indices, classes: int) -> npt.NDArray[np.float64]:
    """Return the sum of the features per class, float64 ``[C, D]``."""
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    sums = np.zeros((classes, x.shape[1]))
    if len(present):
        sums[present] = np.add.reduceat(x[order], first, axis=0)
    return sums


def _fit_discriminants(
    square: FeatureMatrix, sums: FeatureMatrix, counts: Indices, uniform_prior: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return weights ``[C, D]`` and offsets ``[C]`` of the discriminants."""
    present = counts > 0
    means = sums / np.maximum(counts, 1)[:, None]
    within = (square - sums.T @ means) / max(1, int(counts.sum()) - int(present.sum()))
    width = len(within)
    within = (1 - _SHRINKAGE) * within + (_SHRINKAGE * np.trace(within) / width + 1e-9) * np.eye(width)
    weights = np.linalg.solve(within, means.T).T
    prior = np.log(np.maximum(counts, 1) / counts.sum()) if not uniform_prior else np.zeros(len(counts))
    offsets = prior - 0.5 * (weights * means).sum(axis=1)
    return weights, np.where(present, offsets, -1e9)  # a class without training images is never predicted


def _fit_temperature(scores: FeatureMatrix, labels: Indices) -> float:
    """Return the temperature that calibrates the scores (Guo et al. 2017)."""
    step = max(1, len(scores) // _TEMPERATURE_SAMPLE)
    sample, targets = scores[::step], labels[::step]
    rows = np.arange(len(sample))

    def loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(sample / np.exp(log_temperature), axis=1)[rows, targets]
        return -float(np.maximum(log_probabilities, -50).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 6), method="bounded").x))


def add_fourier_features(
    features: FeatureMatrix, *, seed: int = 0, width: int = 200
) -> npt.NDArray[np.float64]:
    """Append random Fourier features, which make a linear probe nonlinear: float64 ``[N, D + W]``.

    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007: inner products of cosines
    of random projections approximate a Gaussian kernel. Its width is half the median distance of two images.

    Args:
        features: float ``[N, D]``.
        seed: Seed of the projections.
        width: W, the number of added features.

    Example:
        >>> add_fourier_features(np.eye(6), width=4).shape
        (6, 10)
    """
    x = np.asarray(features, dtype=np.float64)
    x = np.clip((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9), -5, 5)
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, len(x), (2, min(2000, 4 * len(x))))
    distance = np.median(np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1)) or 1.0
    projections = rng.normal(size=(x.shape[1], width)) / (0.5 * distance)
    waves = np.cos(x @ projections + rng.uniform(0, 2 * np.pi, width))
    return np.hstack([x, waves])
