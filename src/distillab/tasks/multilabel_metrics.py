"""How good the outputs of a multi-label network are, and how closely they follow a teacher's.

Logits are float ``[N, K]``, labels int8 ``[N, K]`` (1, 0, or -1 where not known; those are left out). All
arithmetic is float64. A label is *defined* in a test set if it occurs there and is absent there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from distillab.data.targets import UNLABELLED
from distillab.tasks.arrays import ECE_BINS, Flags, GroupArray, LabelSetArray, Logits, Values

EVEN = 0.0  # the logit of probability 0.5
SMALLEST_GROUP = 20
"""Examples of a group from which an AUC within it is measured."""


def multilabel_metrics(
    logits: Logits,
    labels: LabelSetArray,
    groups: GroupArray | None = None,
    thresholds: Values | None = None,
    least: int = 1,
) -> dict[str, float]:
    """Return the metrics of a multi-label network's outputs on one test set.

    Args:
        logits: float ``[N, K]``.
        labels: int8 ``[N, K]``.
        groups: Optional int64 ``[N]``, any group numbers.
        thresholds: The logit from which each label is predicted, ``[K]``; 0 (probability 0.5) by default.
        least: How many examples must have a label, and as many lack it, for the label to be counted.

    Returns:
        ``macro_auc``, ``macro_ap``, ``macro_f1`` (means over the counted labels of the area under the ROC
        curve, the average precision and F1, as in scikit-learn); ``macro_auc_positive`` (macro AUC among the
        examples that have a label, over the labels that are counted there); ``micro_auc``, ``micro_ap``,
        ``micro_f1`` (over all pairs of example and label); ``exact_match`` (share of examples whose known
        labels are all predicted); ``hamming_loss`` (share of pairs predicted wrongly); ``worst_label_auc``
        (lowest AUC of a label); ``worst_group_auc`` (lowest macro AUC within a group of at least 20
        examples, NaN without such groups); ``nll`` (binary
        cross-entropy averaged over the known labels of an example, then over examples, in nats); ``brier``
        (mean squared error of the probabilities, 0 to 1); ``ece`` (mean over labels of the calibration error
        of the label's probability, 15 bins of equal width). NaN where undefined.

    Raises:
        ValueError: The shapes do not fit, the test set is empty, or a logit is not finite.
    """
    scores, truth = _checked(logits, labels)
    known, positive = truth != UNLABELLED, truth == 1
    probabilities = expit(scores)
    predicted = scores >= (EVEN if thresholds is None else thresholds)
    counted = defined_labels(truth, least)
    aucs = label_aucs(scores, truth, least)
    labelled = known.any(axis=1)
    wrong = (predicted != positive) & known
    by_group = {} if groups is None else group_aucs(scores, truth, groups, least)
    return {
        "macro_auc": _mean(aucs),
        "macro_auc_positive": _auc_of_positives(scores, truth, least),
        "micro_auc": _auc(scores[known], positive[known]),
        "macro_ap": _mean(_per_label(_average_precision, scores, truth, least)),
        "micro_ap": _average_precision(scores[known], positive[known]),
        "macro_f1": _mean(_f1(predicted, positive, known)[counted]),
        "micro_f1": float(_f1(predicted.reshape(-1, 1), positive.reshape(-1, 1), known.reshape(-1, 1))[0]),
        "exact_match": _mean(~wrong.any(axis=1)[labelled]),
        "hamming_loss": _mean(wrong[known]),
        "worst_label_auc": _least(aucs),
        "worst_group_auc": _least(np.array(list(by_group.values()))),
        "nll": _mean(_cross_entropy(scores, positive, known)[labelled]),
        "brier": _mean((probabilities - positive)[known] ** 2),
        "ece": _mean(np.array(list(_calibration_errors(probabilities, positive, known)))),
    }


def multilabel_fidelity(student_logits: Logits, teacher_logits: Logits) -> dict[str, float]:
    """Return how closely a student's outputs follow its teacher's, on the same examples in the same order.

    Args:
        student_logits: float ``[N, K]``.
        teacher_logits: float ``[N, K]``.

    Returns:
        ``agreement``: share of pairs of example and label that both predict, or both do not, at probability
        0.5; ``teacher_kl``: KL(teacher || student) of a label, averaged over labels and examples, in nats.

    Raises:
        ValueError: The shapes differ, the set is empty, or a logit is not finite.
    """
    student, teacher = _finite(student_logits), _finite(teacher_logits)
    if student.shape != teacher.shape:
        raise ValueError(f"logits of student {list(student.shape)} and teacher {list(teacher.shape)} differ")
    present = expit(teacher) * (log_expit(teacher) - log_expit(student))
    absent = expit(-teacher) * (log_expit(-teacher) - log_expit(-student))
    return {
        "agreement": float(((student >= EVEN) == (teacher >= EVEN)).mean()),
        "teacher_kl": float(max((present + absent).mean(), 0.0)),
    }


def defined_labels(labels: LabelSetArray, least: int = 1) -> Flags:
    """Return whether enough examples have each label, and as many are known to lack it, bool ``[K]``.

    Args:
        labels: int8 ``[N, K]``.
        least: How many are enough.

    Example:
        >>> labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], dtype=np.int8)
        >>> defined_labels(labels).tolist(), defined_labels(labels, 2).tolist()
        ([True, True], [True, False])
    """
    counts = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    defined: Flags = np.minimum(*counts) >= least
    return defined


def label_aucs(logits: Logits, labels: LabelSetArray, least: int = 1) -> Values:
    """Return the area under the ROC curve of each label, ``[K]``, NaN where it is not counted.

    Args:
        logits: float ``[N, K]``.
        labels: int8 ``[N, K]``.
        least: As for :func:`defined_labels`.
    """
    return _per_label(_auc, *_checked(logits, labels), least)


def auc_contributions(logits: Logits, labels: LabelSetArray, least: int = 1) -> Values:
    """Return the pseudo-value of each example for the macro AUC, float64 ``[N]``: of mean macro AUC.

    For a label with n1 positives of AUC a, a positive that is above a share v of the negatives has
    ``a + N / n1 (v - a)``, and likewise a negative: the structural components of DeLong et al. (Biometrics
    1988), scaled so that the variance of the pseudo-values over N is their variance of the AUC. An example
    whose label is not known has a. They are averaged over the labels that are defined by at least ``least``
    examples on either side.

    Example:
        >>> labels = np.array([[1], [1], [0], [0]], dtype=np.int8)
        >>> auc_contributions(np.array([[3.0], [1.0], [2.0], [0.0]]), labels).tolist()
        [1.25, 0.25, 0.25, 1.25]
    """
    scores, truth = _checked(logits, labels)
    found = []
    for label in np.flatnonzero(defined_labels(truth, least)):
        known = truth[:, label] != UNLABELLED
        values, positive = scores[known, label], truth[known, label] == 1
        shares = _shares_on_the_right_side(values, positive)
        auc = shares[positive].mean()
        sizes = np.where(positive, positive.sum(), (~positive).sum())
        pseudo = np.full(len(truth), auc)
        pseudo[known] += len(truth) / sizes * (shares - auc)
        found.append(pseudo)
    contributions: Values = np.mean(found, axis=0)
    return contributions


def group_aucs(logits: Logits, labels: LabelSetArray, groups: GroupArray, least: int = 1) -> dict[int, float]:
    """Return the macro AUC within each group that occurs, by group number.

    Labels that fewer than ``least`` examples of all groups have or lack are left out.

    It is NaN where no label is defined, and in groups of fewer than :data:`SMALLEST_GROUP` examples, such as
    a patient with two images, in which an AUC depends on single examples.
    """
    scores, truth = _checked(logits, labels)
    if groups.shape != truth.shape[:1]:
        raise ValueError(f"groups {list(groups.shape)} and labels {list(truth.shape)} differ")
    counted = defined_labels(truth, least)
    return {
        int(group): _mean(label_aucs(scores[groups == group], truth[groups == group])[counted])
        if count >= SMALLEST_GROUP
        else float("nan")
        for group, count in zip(*np.unique(groups, return_counts=True), strict=True)
    }


def best_thresholds(logits: Logits, labels: LabelSetArray) -> Values:
    """Return the logit from which predicting a label gives the best F1 on a validation set, ``[K]``.

    Of thresholds that are equally good the highest; 0 (probability 0.5) for labels that are not defined.
    """
    scores, truth = _checked(logits, labels)
    found = _per_label(_best_threshold, scores, truth)
    return np.where(np.isnan(found), EVEN, found)


def _auc_of_positives(scores: Values, truth: LabelSetArray, least: int) -> float:
    """Macro AUC among the examples that have a label; NaN if there is none, or no label is counted there."""
    having = (truth == 1).any(axis=1)
    return _mean(label_aucs(scores[having], truth[having], least)) if having.any() else float("nan")


def _per_label(
    measure: Callable[[Values, Flags], float], scores: Values, truth: LabelSetArray, least: int = 1
) -> Values:
    """Return a measure of the known examples of each label, NaN where the label is not counted."""
    found = np.full(truth.shape[1], np.nan)
    for label in np.flatnonzero(defined_labels(truth, least)):
        known = truth[:, label] != UNLABELLED
        found[label] = measure(scores[known, label], truth[known, label] == 1)
    return found


def _auc(scores: Values, positive: Flags) -> float:
    """Mann-Whitney's U over the pairs of a positive and a negative; ties count half."""
    positives = int(positive.sum())
    pairs = positives * (len(positive) - positives)
    if not pairs:
        return float("nan")
    ranks = _ranks(scores)[positive].sum()
    return float((ranks - positives * (positives + 1) / 2) / pairs)


def _ranks(scores: Values) -> Values:
    """Return the rank of each score, from 1; equal scores share the mean of their ranks."""
    from scipy.stats import rankdata  # slow to import

    ranks: Values = rankdata(scores)
    return ranks


def _shares_on_the_right_side(scores: Values, positive: Flags) -> Values:
    """Return the share of the negatives below each positive, and of the positives above each negative."""
    below = _ranks(scores)
    for side in (positive, ~positive):
        below[side] -= _ranks(scores[side])
    sizes = np.where(positive, (~positive).sum(), positive.sum())
    shares: Values = below / sizes
    return np.where(positive, shares, 1.0 - shares)


def _average_precision(scores: Values, positive: Flags) -> float:
    """sum_k (R_k - R_k-1) P_k over the distinct thresholds, from high to low."""
    if positive.all() or not positive.any():
        return float("nan")
    hits, predicted, _ = _by_threshold(scores, positive)
    gained = np.diff(hits, prepend=0) / positive.sum()
    return float((gained * hits / predicted).sum())


def _best_threshold(scores: Values, positive: Flags) -> float:
    hits, predicted, thresholds = _by_threshold(scores, positive)
    return float(thresholds[np.argmax(2 * hits / (predicted + positive.sum()))])


def _by_threshold(scores: Values, positive: Flags) -> tuple[Values, Values, Values]:
    """Hits and predictions at each distinct threshold, from high to low."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    return hits, (last + 1).astype(np.float64), scores[order][last]


def _f1(predicted: Flags, positive: Flags, known: Flags) -> Values:
    """F1 of each column; 0 where nothing is positive or predicted."""
    hits = (predicted & positive & known).sum(axis=0)
    counted = (predicted & known).sum(axis=0) + (positive & known).sum(axis=0)
    f1: Values = 2.0 * hits / np.maximum(counted, 1)
    return f1


def _cross_entropy(scores: Values, positive: Flags, known: Flags) -> Values:
    """Binary cross-entropy of each example, averaged over its known labels."""
    losses = -log_expit(np.where(positive, scores, -scores))
    mean: Values = (losses * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return mean


def _calibration_errors(probabilities: Values, positive: Flags, known: Flags) -> Iterator[float]:
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)
    for label in np.flatnonzero(known.any(axis=0)):
        p, y = probabilities[known[:, label], label], positive[known[:, label], label]
        bins = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, ECE_BINS - 1)
        gaps = np.bincount(bins, weights=p - y, minlength=ECE_BINS)
        yield float(np.abs(gaps).sum() / len(p))


def _mean(values: npt.NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _least(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.min()) if len(known) else float("nan")


def _finite(logits: Logits) -> Values:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"logits are [N, K] with at least one example, not {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise ValueError("the logits hold NaN or infinity: the network has diverged")
    return scores


def _checked(logits: Logits, labels: LabelSetArray) -> tuple[Values, LabelSetArray]:
    scores, truth = _finite(logits), np.asarray(labels, dtype=np.int8)
    if truth.shape != scores.shape:
        raise ValueError(f"labels {list(truth.shape)} do not fit logits {list(scores.shape)}")
    return scores, truth
