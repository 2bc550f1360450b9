"""The linear probe: how well a class can be told from given features, and what it says of every image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits

Matrix = npt.NDArray[np.floating[Any]]
FOLDS = 5
SHRINKAGE = 0.02  # of the covariance towards a multiple of the identity
TEMPERATURE_FROM = 5_000  # images


@dataclass(frozen=True, eq=False)
class Probed:
    """What a probe says of images that it was not fitted on.

    Attributes:
        probabilities: float64 ``[N, C]``, out of fold, calibrated by one temperature.
        labels: int64 ``[N]``.
    """

    probabilities: npt.NDArray[np.float64]
    labels: Indices

    @property
    def predicted(self) -> Indices:
        """int64 ``[N]``."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def counts(self) -> Indices:
        """Images a class, int64 ``[C]``."""
        return np.bincount(self.labels, minlength=self.probabilities.shape[1]).astype(np.int64)

    @property
    def accuracy(self) -> float:
        return float((self.predicted == self.labels).mean())

    @property
    def recalls(self) -> npt.NDArray[np.float64]:
        """Accuracy of each class, float64 ``[C]``; 0 for a class without an image."""
        classes = self.probabilities.shape[1]
        hits = np.bincount(self.labels[self.predicted == self.labels], minlength=classes)
        return hits / np.maximum(self.counts, 1)

    @property
    def balanced_accuracy(self) -> float:
        """Mean accuracy of the classes that occur: 1 / their number by chance."""
        return float(self.recalls[self.counts > 0].mean())


def out_of_fold(
    features: Matrix, labels: Indices, ids: Indices, classes: int, *, uniform_prior: bool = False
) -> Probed:
    """Linear discriminant analysis, each fold of images judged by what was fitted on the others.

    One pass over the data serves all folds: class means and covariance of the others are sums minus sums.

    Args:
        features: float ``[N, D]``.
        labels: int64 ``[N]`` in ``[0, classes)``.
        ids: int64 ``[N]``; they decide the folds, which are stratified.
        classes: C.
        uniform_prior: whether every class is as likely as every other, whatever its images.
    """
    x = np.asarray(features, dtype=np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    folds = _folds(labels, ids)
    total, sums, counts = x.T @ x, _sums(x, labels, classes), np.bincount(labels, minlength=classes)
    scores = np.empty((len(x), classes))
    for fold in range(FOLDS):
        own = folds == fold
        part, part_labels = x[own], labels[own]
        fitted = _fit(
            total - part.T @ part,
            sums - _sums(part, part_labels, classes),
            counts - np.bincount(part_labels, minlength=classes),
            uniform_prior,
        )
        scores[own] = part @ fitted[0].T + fitted[1]
    return Probed(softmax(scores / _temperature(scores, labels), axis=1), labels)


def _folds(labels: Indices, ids: Indices) -> Indices:
    """Folds by rank within the class, in the order of random bits of the ids."""
    order = np.lexsort((random_bits(ids, 0xF01D), labels))
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % FOLDS
    return folds


def _sums(x: Matrix, labels: Indices, classes: int) -> npt.NDArray[np.float64]:
    """Sum of the features of each class, float64 ``[C, D]``."""
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    sums = np.zeros((classes, x.shape[1]))
    if len(present):
        sums[present] = np.add.reduceat(x[order], first, axis=0)
    return sums


def _fit(
    square: Matrix, sums: Matrix, counts: Indices, uniform_prior: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights ``[C, D]`` and offsets ``[C]`` of the discriminants."""
    seen = counts > 0
    means = sums / np.maximum(counts, 1)[:, None]
    within = (square - sums.T @ means) / max(1, int(counts.sum()) - int(seen.sum()))
    width = len(within)
    within = (1 - SHRINKAGE) * within + (SHRINKAGE * np.trace(within) / width + 1e-9) * np.eye(width)
    weights = np.linalg.solve(within, means.T).T
    prior = np.log(np.maximum(counts, 1) / counts.sum()) if not uniform_prior else np.zeros(len(counts))
    offsets = prior - 0.5 * (weights * means).sum(axis=1)
    return weights, np.where(seen, offsets, -1e9)  # a class that was not seen is not guessed


def _temperature(scores: Matrix, labels: Indices) -> float:
    """What scores are divided by so that their probabilities are honest (Guo et al. 2017)."""
    step = max(1, len(scores) // TEMPERATURE_FROM)
    some, truth = scores[::step], labels[::step]
    rows = np.arange(len(some))

    def loss(log_temperature: float) -> float:
        return -float(
            np.maximum(log_softmax(some / np.exp(log_temperature), axis=1)[rows, truth], -50).mean()
        )

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 6), method="bounded").x))


def curved(features: Matrix, ids_seed: int = 0, width: int = 200) -> npt.NDArray[np.float64]:
    """Features and random Fourier features of them, so that a probe sees bends: float64 ``[N, D + W]``.

    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007: cosines of random
    projections, whose products approach a Gaussian kernel; its width is the usual distance of two images.
    """
    x = np.asarray(features, dtype=np.float64)
    x = np.clip((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9), -5, 5)
    rng = np.random.default_rng(ids_seed)
    pairs = rng.integers(0, len(x), (2, min(2000, 4 * len(x))))
    distance = np.median(np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1)) or 1.0
    projections = rng.normal(size=(x.shape[1], width)) / (0.5 * distance)
    waves = np.cos(x @ projections + rng.uniform(0, 2 * np.pi, width))
    return np.hstack([x, waves])
