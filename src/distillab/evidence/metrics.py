"""What is measured on a test set, and how each number is to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

Logits = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

ECE_BINS = 15


@dataclass(frozen=True)
class Metric:
    """How a column of the results is to be read.

    Attributes:
        name: what people call it.
        higher_is_better: its good direction.
        unit: ``points`` (100 times the number, written with one decimal) or ``nats``.
        margin: the largest gain that is still no practical difference, in the unit of the column itself
            (0.005 is half a point).
        accuracy_like: whether a study's own margin for accuracies replaces ``margin``.
        counts_images: whether it moves in steps of about one test image, 1 / n_test.
    """

    name: str
    higher_is_better: bool
    unit: Literal["points", "nats"]
    margin: float
    accuracy_like: bool = False
    counts_images: bool = False

    def margin_for(self, accuracy_margin: float) -> float:
        """The margin to use in a study whose margin for accuracies is ``accuracy_margin``."""
        return accuracy_margin if self.accuracy_like else self.margin


class Metrics(dict[str, Metric]):
    """Metrics by column; ``accuracy.NAME`` and ``worst_group_accuracy.NAME`` are of another test set."""

    def __missing__(self, column: str) -> Metric:
        name, dot, test = column.partition(".")
        if not dot or name not in ELSEWHERE:
            raise KeyError(column)
        return replace(self[name], name=f"{self[name].name}, {test.replace('_', ' ')} images")


ELSEWHERE = ("accuracy", "worst_group_accuracy")  # what is measured on other test sets as well

METRICS = Metrics(
    {
        "accuracy": Metric("accuracy", True, "points", 0.005, accuracy_like=True, counts_images=True),
        "accuracy_selected": Metric(
            "accuracy at the epoch chosen on val",
            True,
            "points",
            0.005,
            accuracy_like=True,
            counts_images=True,
        ),
        "balanced_accuracy": Metric(
            "balanced accuracy", True, "points", 0.005, accuracy_like=True, counts_images=True
        ),
        "macro_f1": Metric("macro F1", True, "points", 0.005, accuracy_like=True),
        "worst_class_accuracy": Metric(
            "accuracy of the worst class", True, "points", 0.005, accuracy_like=True
        ),
        "worst_group_accuracy": Metric(
            "accuracy of the worst group", True, "points", 0.005, accuracy_like=True
        ),
        "nll": Metric("negative log-likelihood", False, "nats", 0.02),
        "brier": Metric("Brier score", False, "points", 0.005),
        "ece": Metric("calibration error", False, "points", 0.01),
        "agreement": Metric("agreement with the teacher", True, "points", 0.01, counts_images=True),
        "teacher_kl": Metric("divergence from the teacher", False, "nats", 0.02),
        "head_accuracy": Metric(
            "accuracy of the frequent classes", True, "points", 0.005, accuracy_like=True
        ),
        "middle_accuracy": Metric(
            "accuracy of the middle classes", True, "points", 0.005, accuracy_like=True
        ),
        "tail_accuracy": Metric("accuracy of the rare classes", True, "points", 0.005, accuracy_like=True),
    }
)


def measured_columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of some result rows that hold a metric: the registered ones, then those of other test sets,
    in order of appearance."""
    found = {key: None for row in rows for key, value in row.items() if value is not None and value == value}
    return [name for name in METRICS if name in found] + elsewhere([found])


def elsewhere(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of some result rows that are about other test sets, in order of appearance."""
    found = dict.fromkeys(key for row in rows for key in row if "." in key)
    return [key for key in found if key.partition(".")[0] in ELSEWHERE]


def classification_metrics(logits: Logits, labels: Labels, groups: Labels | None = None) -> dict[str, float]:
    """How good a classifier's outputs are on one test set.

    Args:
        logits: float16, float32 or float64 ``[N, C]``; all arithmetic is float64. Ties go to the lower class.
        labels: int64 ``[N]`` in ``[0, C)``.
        groups: optional int64 ``[N]``, any group numbers.

    Returns:
        Fractions in [0, 1] unless said otherwise:
        ``accuracy``; ``balanced_accuracy`` (mean recall over the classes that occur in ``labels``);
        ``macro_f1`` (mean F1 over the classes that occur in labels or predictions, as scikit-learn does);
        ``worst_class_accuracy`` (lowest recall of a class that occurs); ``worst_group_accuracy`` (lowest
        accuracy of a group, NaN without groups); ``nll`` (mean, nats); ``brier`` (squared error summed over
        the classes, averaged over the images: 0 to 2; Brier 1950); ``ece`` (top-label expected calibration
        error, 15 bins of equal width, absolute gaps; Naeini et al. 2015, Guo et al. 2017).

    Raises:
        ValueError: for shapes that do not fit, an empty test set, labels without a class, or logits that are
            not finite.
    """
    scores, truth = _checked(logits, labels)
    log_probabilities: Values = log_softmax(scores, axis=1)
    probabilities = np.exp(log_probabilities)
    predicted = scores.argmax(axis=1)
    correct = predicted == truth
    n, c = scores.shape
    images = np.arange(n)
    per_class = class_accuracies(scores, truth)
    hits = np.bincount(truth[correct], minlength=c)
    actual, claimed = np.bincount(truth, minlength=c), np.bincount(predicted, minlength=c)
    occurring = (actual + claimed) > 0
    errors = probabilities.copy()
    errors[images, truth] -= 1.0
    by_group = {} if groups is None else group_accuracies(scores, truth, groups)
    return {
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(np.nanmean(per_class)),
        "macro_f1": float((2.0 * hits[occurring] / (actual + claimed)[occurring]).mean()),
        "worst_class_accuracy": float(np.nanmin(per_class)),
        "worst_group_accuracy": min(by_group.values(), default=float("nan")),
        "nll": float(-log_probabilities[images, truth].mean()),
        "brier": float((errors**2).sum(axis=1).mean()),
        "ece": _calibration_error(probabilities.max(axis=1), correct),
    }


def fidelity(student_logits: Logits, teacher_logits: Logits) -> dict[str, float]:
    """How far a student says what its teacher says, on the same images in the same order.

    Args:
        student_logits: float ``[N, C]``.
        teacher_logits: float ``[N, C]``.

    Returns:
        ``agreement``: share of images with the same top class; ``teacher_kl``: mean KL(teacher || student) in
        nats at temperature 1.

    Raises:
        ValueError: for shapes that differ, an empty set, or logits that are not finite.
    """
    student, teacher = _finite(student_logits), _finite(teacher_logits)
    if student.shape != teacher.shape:
        raise ValueError(f"logits of student {list(student.shape)} and teacher {list(teacher.shape)} differ")
    log_student, log_teacher = log_softmax(student, axis=1), log_softmax(teacher, axis=1)
    divergence = (np.exp(log_teacher) * (log_teacher - log_student)).sum(axis=1)
    return {
        "agreement": float((student.argmax(axis=1) == teacher.argmax(axis=1)).mean()),
        "teacher_kl": float(max(divergence.mean(), 0.0)),
    }


def thirds(per_class: Values, trained: Labels) -> dict[str, float]:
    """Mean accuracy of the frequent, middle and rare classes, NaN where none occurs in the test set.

    Args:
        per_class: accuracy by class, float64 ``[C]``, C at least 3.
        trained: training images by class, int64 ``[C]``. Classes are ranked by them, ties by index; each
            third has C / 3 of them, what is left over going to the head first, then to the tail.

    Returns:
        ``head_accuracy``, ``middle_accuracy``, ``tail_accuracy``; nothing if all classes are as frequent, or
        there are fewer than three.
    """
    c = len(trained)
    if c < 3 or trained.min() == trained.max():
        return {}
    ranked = np.argsort(-trained, kind="stable")
    head, tail = -(-c // 3), c - (c + 1) // 3
    parts = {"head": ranked[:head], "middle": ranked[head:tail], "tail": ranked[tail:]}
    return {
        f"{name}_accuracy": float(np.mean(known)) if len(known := _known(per_class[part])) else float("nan")
        for name, part in parts.items()
    }


def _known(values: Values) -> Values:
    return values[~np.isnan(values)]


def class_accuracies(logits: Logits, labels: Labels) -> Values:
    """Accuracy (recall) of each class: float64 ``[C]``, NaN for a class without a test image.

    Args and errors as for :func:`classification_metrics`.
    """
    scores, truth = _checked(logits, labels)
    c = scores.shape[1]
    totals = np.bincount(truth, minlength=c).astype(np.float64)
    hits = np.bincount(truth[scores.argmax(axis=1) == truth], minlength=c).astype(np.float64)
    accuracies: Values = np.divide(hits, totals, out=np.full(c, np.nan), where=totals > 0)
    return accuracies


def group_accuracies(logits: Logits, labels: Labels, groups: Labels) -> dict[int, float]:
    """Accuracy of each group that occurs, by group number. Errors as for :func:`classification_metrics`."""
    scores, truth = _checked(logits, labels)
    if groups.shape != truth.shape:
        raise ValueError(f"groups {list(groups.shape)} and labels {list(truth.shape)} differ")
    correct = scores.argmax(axis=1) == truth
    return {int(group): float(correct[groups == group].mean()) for group in np.unique(groups)}


def _calibration_error(confidence: Values, correct: npt.NDArray[np.bool_]) -> float:
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _finite(logits: Logits) -> Values:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"logits are [N, C] with at least one image, not {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise ValueError("the logits hold NaN or infinity: the network has diverged")
    return scores


def _checked(logits: Logits, labels: Labels) -> tuple[Values, Labels]:
    scores, truth = _finite(logits), np.asarray(labels, dtype=np.int64)
    if truth.shape != scores.shape[:1]:
        raise ValueError(f"labels {list(truth.shape)} do not fit logits {list(scores.shape)}")
    if not 0 <= truth.min() <= truth.max() < scores.shape[1]:
        raise ValueError(f"a label has no class among {scores.shape[1]}")
    return scores, truth
