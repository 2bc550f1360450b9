"""Predictors of the gain that need the teacher alone: one pass over val and one over a few views.

They are the columns ``predictor.NAME`` of the evidence base, and what advice computes before any student is
trained. Both call :func:`teacher_predictors`, so that the two are comparable.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities import modality_of
from distillab.modalities.embedding import fit_embedding
from distillab.profile.loaded_teacher import LoadedTeacher
from distillab.profile.neighbors import unit_vectors
from distillab.profile.probe import fitted_probe_accuracy
from distillab.tasks.classification_metrics import classification_metrics

ViewProbabilities = npt.NDArray[np.float64]
VIEWS = 4
MOST_VIEWED = 500  # examples whose views are drawn
MOST_VALIDATED = 2_000
_HIGHEST_RATIO = 1_000.0  # above it, the second class has less than a thousandth of the first's probability
_BATCH = 256
_SEED = 0x7EAC


@dataclass(frozen=True)
class TeacherPredictors:
    """What a trained teacher's outputs are like on the data of its students.

    Attributes:
        teacher_accuracy: Accuracy on val.
        teacher_minus_probe: That less the accuracy on val of a linear probe, fitted on the transfer set.
        top_ratio: Geometric mean, over val, of the largest to the second largest probability.
        view_spread: Standard deviation over views of the probability of the class that is predicted on
            average, as a mean over transfer examples.
        ece: Expected calibration error on val.
        entropy: Mean entropy of the probabilities on val, in nats.

    Example:
        >>> found = TeacherPredictors(0.9, 0.2, 12.0, 0.05, 0.03, 0.4)
        >>> found.as_dict()["top_ratio"]
        12.0
    """

    teacher_accuracy: float
    teacher_minus_probe: float
    top_ratio: float
    view_spread: float
    ece: float
    entropy: float

    def as_dict(self) -> dict[str, float]:
        """Return the values by name, in the order of ``PREDICTORS``."""
        return asdict(self)


def teacher_predictors(
    teacher: LoadedTeacher, val: Examples, transfer: Examples, *, views: int = VIEWS
) -> TeacherPredictors:
    """Return the predictors of a teacher for the students that would be distilled from it.

    Args:
        teacher: The teacher, with the classes of the examples.
        val: The validation set.
        transfer: The set that students are distilled on.
        views: How many views of a transfer example are drawn.

    Example:
        >>> from distillab.models import InputSpec, build_model
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> digits = load_dataset(Digits(classes=["0", "1"]))
        >>> network = build_model("convnet3", classes=2, inputs=InputSpec(1, 8, 8)).eval()
        >>> normalize = PixelNormalization(*digits.normalization())
        >>> teacher = LoadedTeacher("convnet3", network, normalize, torch.device("cpu"))
        >>> found = teacher_predictors(teacher, digits.val, digits.train, views=2)
        >>> found.teacher_accuracy - found.teacher_minus_probe > 0.9  # the probe separates 0 and 1
        True
    """
    val = val.select(_drawn(val, MOST_VALIDATED))
    logits = teacher.logits(val)
    metrics = classification_metrics(logits, val.labels)
    return TeacherPredictors(
        teacher_accuracy=metrics["accuracy"],
        teacher_minus_probe=metrics["accuracy"] - probe_accuracy(transfer, val),
        top_ratio=top_probability_ratio(softmax(logits, axis=1)),
        view_spread=_spread_over_views(teacher, transfer, views),
        ece=metrics["ece"],
        entropy=mean_entropy(softmax(logits, axis=1)),
    )


def top_probability_ratio(probabilities: ViewProbabilities) -> float:
    """Return the geometric mean of the largest to the second largest probability, each at most 1,000.

    Args:
        probabilities: float64 ``[N, C]``.

    Example:
        >>> round(top_probability_ratio(np.array([[0.8, 0.1, 0.1], [0.5, 0.25, 0.25]])), 6)
        4.0
    """
    ordered = np.sort(probabilities, axis=1)
    ratios = ordered[:, -1] / np.maximum(ordered[:, -2], ordered[:, -1] / _HIGHEST_RATIO)
    return float(np.exp(np.log(ratios).mean()))


def mean_entropy(probabilities: ViewProbabilities) -> float:
    """Return the mean Shannon entropy of rows of probabilities, in nats.

    Example:
        >>> round(mean_entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), 3)
        0.347
    """
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return float(-(probabilities * logs).sum(axis=1).mean())


def spread_over_views(probabilities: ViewProbabilities) -> float:
    """Return how much the probability of the predicted class varies between views of an example.

    Args:
        probabilities: float64 ``[V, N, C]``, of V views of N examples.

    Example:
        >>> spread_over_views(np.array([[[0.9, 0.1]], [[0.9, 0.1]]]))
        0.0
    """
    predicted = probabilities.mean(axis=0).argmax(axis=1)
    of_predicted = probabilities[:, np.arange(len(predicted)), predicted]
    return float(of_predicted.std(axis=0, ddof=1).mean())


def probe_accuracy(transfer: Examples, val: Examples) -> float:
    """Return the accuracy on val of a linear probe on the reference embedding, fitted on the transfer set.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> digits = load_dataset(Digits(classes=["0", "1"]))
        >>> probe_accuracy(digits.train, digits.val) > 0.9
        True
    """
    labelled = transfer.select(np.flatnonzero(transfer.labelled))
    embedding = fit_embedding(labelled)
    return fitted_probe_accuracy(
        unit_vectors(embedding.vectors(labelled)),
        labelled.labels,
        unit_vectors(embedding.vectors(val)),
        val.labels,
        len(val.classes),
    )


def _spread_over_views(teacher: LoadedTeacher, transfer: Examples, count: int) -> float:
    if not teacher.sees_views:
        return 0.0  # its output for an example is the same whatever the view
    images = transfer.select(_drawn(transfer, MOST_VIEWED))
    views = modality_of(images).views("auto", images.shape)
    outputs = []
    for epoch in range(count):
        parts = [
            teacher.probabilities(views.batch(images, rows, epoch, _SEED, torch.device("cpu")).items)
            for rows in np.array_split(np.arange(len(images)), max(1, len(images) // _BATCH))
        ]
        outputs.append(np.concatenate(parts))
    return spread_over_views(np.stack(outputs))


def _drawn(examples: Examples, most: int) -> Indices:
    """Return the places of at most so many examples, drawn by their ids, in order."""
    order = np.argsort(random_bits(examples.ids, _SEED), kind="stable")[:most]
    return np.sort(order).astype(np.int64)
