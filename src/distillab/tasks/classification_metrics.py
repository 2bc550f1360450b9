"""How good a classifier's outputs are, and how closely they follow a teacher's."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from distillab.tasks.arrays import ECE_BINS, Flags, GroupArray, LabelArray, Logits, Values


def classification_metrics(
    logits: Logits, labels: LabelArray, groups: GroupArray | None = None
) -> dict[str, float]:
    """Return the metrics of a classifier's outputs on one test set.

    Args:
        logits: float16, float32 or float64 ``[N, C]``; all arithmetic is float64. Ties go to the lower class.
        labels: int64 ``[N]`` in ``[0, C)``.
        groups: Optional int64 ``[N]``, any group numbers.

    Returns:
        Fractions in [0, 1] unless stated otherwise:
        ``accuracy``; ``balanced_accuracy`` (mean recall over the classes that occur in ``labels``);
        ``macro_f1`` (mean F1 over the classes that occur in labels or predictions, as in scikit-learn);
        ``worst_class_accuracy`` (lowest recall of a class that occurs); ``worst_group_accuracy`` (lowest
        accuracy of a group, NaN without groups); ``group_accuracy`` (mean accuracy of the groups, each
        counted once; with patients as groups the patient recognition rate of Spanhol et al., IEEE TBME 2016;
        NaN without groups); ``nll`` (mean, nats); ``brier`` (squared error summed over the classes, averaged
        over the examples: 0 to 2; Brier 1950); ``ece`` (top-label expected calibration error, 15 bins of
        equal width, absolute gaps; Naeini et al. 2015, Guo et al. 2017).

    Raises:
        ValueError: The shapes do not fit, the test set is empty, a label has no class, or a logit is not
            finite.
    """
    scores, truth = _checked(logits, labels)
    log_probabilities: Values = log_softmax(scores, axis=1)
    probabilities = np.exp(log_probabilities)
    predicted = scores.argmax(axis=1)
    correct = predicted == truth
    n, c = scores.shape
    examples = np.arange(n)
    per_class = class_accuracies(scores, truth)
    hits = np.bincount(truth[correct], minlength=c)
    actual, found = np.bincount(truth, minlength=c), np.bincount(predicted, minlength=c)
    occurring = (actual + found) > 0
    errors = probabilities.copy()
    errors[examples, truth] -= 1.0
    by_group = {} if groups is None else group_accuracies(scores, truth, groups)
    return {
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(np.nanmean(per_class)),
        "macro_f1": float((2.0 * hits[occurring] / (actual + found)[occurring]).mean()),
        "worst_class_accuracy": float(np.nanmin(per_class)),
        "worst_group_accuracy": min(by_group.values(), default=float("nan")),
        "group_accuracy": float(np.mean(list(by_group.values()))) if by_group else float("nan"),
        "nll": float(-log_probabilities[examples, truth].mean()),
        "brier": float((errors**2).sum(axis=1).mean()),
        "ece": _calibration_error(probabilities.max(axis=1), correct),
    }


def fidelity(student_logits: Logits, teacher_logits: Logits) -> dict[str, float]:
    """Return how closely a student's outputs follow its teacher's, on the same examples in the same order.

    Args:
        student_logits: float ``[N, C]``.
        teacher_logits: float ``[N, C]``.

    Returns:
        ``agreement``: share of examples with the same top class; ``teacher_kl``: mean KL(teacher || student)
        in nats at temperature 1.

    Raises:
        ValueError: The shapes differ, the set is empty, or a logit is not finite.
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


def thirds(per_class: Values, trained: LabelArray) -> dict[str, float]:
    """Return the mean quality of frequent, middle and rare classes, NaN where none has one.

    Args:
        per_class: Quality per class, float64 ``[C]``, NaN where undefined.
        trained: Training examples per class, int64 ``[C]``. Classes are ranked by them, ties by index; each
            third has C / 3 of them, what is left over going to the head first, then to the tail.

    Returns:
        The means of ``head``, ``middle`` and ``tail``; empty if all classes are equally frequent, or there
        are fewer than three.
    """
    c = len(trained)
    if c < 3 or trained.min() == trained.max():
        return {}
    ranked = np.argsort(-trained, kind="stable")
    head, tail = -(-c // 3), c - (c + 1) // 3
    parts = {"head": ranked[:head], "middle": ranked[head:tail], "tail": ranked[tail:]}
    return {
        name: float(np.mean(known)) if len(known := _known(per_class[part])) else float("nan")
        for name, part in parts.items()
    }


def _known(values: Values) -> Values:
    return values[~np.isnan(values)]


def class_accuracies(logits: Logits, labels: LabelArray) -> Values:
    """Return the accuracy (recall) of each class, float64 ``[C]``, NaN for a class without a test example.

    Arguments and errors are those of :func:`classification_metrics`.
    """
    scores, truth = _checked(logits, labels)
    c = scores.shape[1]
    totals = np.bincount(truth, minlength=c).astype(np.float64)
    hits = np.bincount(truth[scores.argmax(axis=1) == truth], minlength=c).astype(np.float64)
    accuracies: Values = np.divide(hits, totals, out=np.full(c, np.nan), where=totals > 0)
    return accuracies


def group_accuracies(logits: Logits, labels: LabelArray, groups: GroupArray) -> dict[int, float]:
    """Return the accuracy of each group that occurs, by group number.

    Arguments and errors are those of :func:`classification_metrics`.
    """
    scores, truth = _checked(logits, labels)
    if groups.shape != truth.shape:
        raise ValueError(f"groups {list(groups.shape)} and labels {list(truth.shape)} differ")
    correct = scores.argmax(axis=1) == truth
    return {int(group): float(correct[groups == group].mean()) for group in np.unique(groups)}


def _calibration_error(confidence: Values, correct: Flags) -> float:
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _finite(logits: Logits) -> Values:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"logits are [N, C] with at least one example, not {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise ValueError("the logits hold NaN or infinity: the network has diverged")
    return scores


def _checked(logits: Logits, labels: LabelArray) -> tuple[Values, LabelArray]:
    scores, truth = _finite(logits), np.asarray(labels, dtype=np.int64)
    if truth.shape != scores.shape[:1]:
        raise ValueError(f"labels {list(truth.shape)} do not fit logits {list(scores.shape)}")
    if not 0 <= truth.min() <= truth.max() < scores.shape[1]:
        raise ValueError(f"a label has no class among {scores.shape[1]}")
    return scores, truth
