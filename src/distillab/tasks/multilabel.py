"""Multi-label: any number of labels per example, each predicted by a sigmoid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from distillab.canonical import JsonObject
from distillab.data.targets import UNLABELLED, LabelSets, Targets
from distillab.errors import RequestError
from distillab.tasks.arrays import Flags, GroupArray, LabelArray, Logits, Values
from distillab.tasks.classification_metrics import thirds
from distillab.tasks.losses import bernoulli_kl, binary_cross_entropy
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed, mean_over_labelled
from distillab.tasks.multilabel_metrics import (
    auc_contributions,
    best_thresholds,
    defined_labels,
    group_aucs,
    label_aucs,
    multilabel_fidelity,
    multilabel_metrics,
)
from distillab.tasks.task import Task, task

CHANCE = 0.5  # AUC of a guess

_quality = partial(Metric, uses_study_margin=True)
_error = partial(Metric, higher_is_better=False)
_nats = partial(_error, unit="nats", margin=0.02)


@task("multilabel")
class MultiLabel(Task):
    """Any number of labels per example: binary cross-entropy, sigmoids, AUC.

    A label that is not known is left out of every loss and metric. A label that occurs in every example of a
    test set, or in none, has no AUC there: it is left out of the means over labels, and
    :meth:`undefined_classes` counts it. So is one that few examples have, if ``min_positives`` is set.

    ``macro_auc_positive`` is the macro AUC among the examples that have a label, such as the sick. Where
    many examples have none, the macro AUC over all of them mixes two questions: who is sick, and with what.

    Attributes:
        uncertain: What a label that is not known is taken for in training, if another label of the example
            is known: left out (``ignore``), present (``ones``) or absent (``zeros``), as in Irvin et al.,
            CheXpert, AAAI 2019. Metrics always leave it out.
        min_positives: How many test examples must have a label, and as many lack it, for metrics over labels
            to count it. Val, by which an epoch is selected, counts all labels if none has so many there.

    Example:
        >>> task = MultiLabel(uncertain="zeros")
        >>> task.loss(torch.zeros(2, 3), torch.tensor([[1, 0, -1], [-1, -1, -1]], dtype=torch.int8))
        tensor([1.3863, 0.0000])
        >>> sets = LabelSets(np.array([[1, 0], [0, 0], [0, 1]], dtype=np.int8), classes=2)
        >>> task.per_class(np.array([[2.0, 0.5], [1.0, 1.0], [0.0, 0.0]]), sets)
        array([1., 0.])
    """

    primary: ClassVar[str] = "macro_auc"
    metrics: ClassVar[MetricTable] = MetricTable(
        [
            *_quality("macro_auc", "macro AUC", "Macro AUC", brief=True).with_selected(),
            _quality(
                "macro_auc_positive", "macro AUC among examples with a label", "Macro AUC (with a label)"
            ),
            _quality("micro_auc", "AUC of all decisions", "Micro AUC"),
            _quality("macro_ap", "macro average precision", "Macro AP (mAP)", brief=True),
            _quality("micro_ap", "average precision of all decisions", "Micro AP"),
            _quality("macro_f1", "macro F1", "Macro F1"),
            _quality("micro_f1", "micro F1", "Micro F1"),
            _quality("exact_match", "share of exact matches", "Exact match", counts_examples=True),
            _error("hamming_loss", "Hamming loss", "Hamming loss"),
            _quality("worst_label_auc", "AUC of the worst label", "Worst label", brief=True),
            _quality("worst_group_auc", "macro AUC of the worst group", "Worst group"),
            _nats("nll", "binary cross-entropy", "Binary cross-entropy", kind="calibration"),
            _error("brier", "Brier score", "Brier score", kind="calibration"),
            _error(
                "ece",
                "calibration error",
                "Calibration error (ECE)",
                margin=0.01,
                kind="calibration",
                brief=True,
            ),
            Metric(
                "agreement",
                "agreement with the teacher",
                "Agreement with teacher",
                margin=0.01,
                kind="fidelity",
                brief=True,
            ),
            _nats(
                "teacher_kl",
                "divergence from the teacher",
                "Divergence from teacher (KL)",
                kind="fidelity",
            ),
            _quality("head_auc", "AUC of the frequent labels", "Frequent labels"),
            _quality("middle_auc", "AUC of the middle labels", "Middle labels"),
            _quality("tail_auc", "AUC of the rare labels", "Rare labels"),
        ],
        per_test=["macro_auc", "worst_group_auc"],
    )
    targets: ClassVar[type[Targets]] = LabelSets
    class_noun: ClassVar[str] = "label"
    class_metric: ClassVar[Metric] = _quality("label_auc", "AUC of the label", "AUC of the label")
    worst_group: ClassVar[str] = "worst_group_auc"
    parts: ClassVar[tuple[str, ...]] = ("macro_auc_positive",)
    has_thresholds: ClassVar[bool] = True

    uncertain: Literal["ignore", "ones", "zeros"] = "ignore"
    min_positives: Annotated[int, Field(ge=1, strict=True)] = 1

    def as_dict(self) -> JsonObject:
        """Return the task as a study may write it; without ``min_positives`` if it is the default."""
        written = super().as_dict()  # ids of studies from before the setting stay as they are
        return {key: value for key, value in written.items() if key != "min_positives" or value != 1}

    def head_width(self, classes: int) -> int:
        """Return ``classes``: one logit per label."""
        return classes

    def loss(
        self, logits: Tensor, labels: Tensor, *, mixed: Mixed | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the binary cross-entropy of each example, averaged over its known labels, ``[N]``.

        Where two examples were mixed, share BCE(y) + (1 - share) BCE(y').
        """
        return mean_over_labelled(
            lambda known: binary_cross_entropy(logits, self._resolved(known), smoothing), labels, mixed
        )

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return mean_k KL(s_t[k] || s_s[k]) with s = sigmoid(z / T), ``[N]``.

        KL is that of present and absent (Yang et al., "Multi-label knowledge distillation", ICCV 2023). The
        authors sum it over labels; here it is averaged as the supervised loss is, so that the weights of both
        mean the same for any number of labels.
        """
        return bernoulli_kl(student, teacher, temperature).mean(dim=1)

    def score(self, logits: Logits, targets: Targets) -> float:
        """Return the macro AUC; that of a guess, 0.5, if no label is both present and absent."""
        enough = defined_labels(targets.values, self.min_positives).any()
        aucs = label_aucs(logits, targets.values, self.min_positives if enough else 1)
        return float(np.nanmean(aucs)) if not np.isnan(aucs).all() else CHANCE

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return pseudo-values of the macro AUC; see :func:`auc_contributions`."""
        known = targets.labelled
        enough = defined_labels(targets.values, self.min_positives).any()
        if not defined_labels(targets.values).any():
            return np.full(int(known.sum()), CHANCE)
        return auc_contributions(logits[known], targets.values[known], self.min_positives if enough else 1)

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return what :func:`multilabel_metrics` does.

        Labels are predicted from the probability on that is best for F1 on ``val``, each its own; from 0.5 on
        without ``val``.
        """
        thresholds = None if val is None else best_thresholds(val[0], val[1].values)
        return multilabel_metrics(logits, targets.values, groups, thresholds, self.min_positives)

    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return the AUC of each label."""
        return label_aucs(logits, targets.values, self.min_positives)

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the macro AUC within each group."""
        return group_aucs(logits, targets.values, groups, self.min_positives)

    def part_of(self, metric: str, targets: Targets) -> Flags:
        """Return which examples have a label, bool ``[N]``."""
        having: Flags = (targets.values == 1).any(axis=1)
        return having

    def undefined_classes(self, targets: Targets) -> int:
        """Return how many labels too few examples have, or lack, to be counted."""
        return int((~defined_labels(targets.values, self.min_positives)).sum())

    def check_test(self, targets: Targets, classes: Sequence[str], test: str) -> tuple[str, ...]:
        """Return a note on the labels that metrics leave out.

        Raises:
            RequestError: There is no other label.
        """
        least, counts = self.min_positives, targets.counts
        left_out = np.flatnonzero(~defined_labels(targets.values, least))
        if len(left_out) == len(classes):
            raise _undefined(test, least, counts)
        if not left_out.size:
            return ()
        listed = ", ".join(f"{classes[label]!r} ({counts[label]})" for label in left_out.tolist())
        return (
            f"Labels that fewer than {least} examples of {test} have or lack, left out of metrics over"
            f" labels: {len(left_out)}, {listed}.",
        )

    def check_val(self, targets: Targets) -> None:
        """Raise RequestError if no label has examples of val that have it, and others that lack it."""
        if not defined_labels(targets.values, 1).any():
            raise _undefined("val", 1, targets.counts)

    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return ``agreement`` and ``teacher_kl`` as :func:`multilabel_fidelity` does."""
        return multilabel_fidelity(student, teacher)

    def by_frequency(self, per_class: Values, trained: LabelArray) -> dict[str, float]:
        """Return the mean AUC of each third of the labels, by how many training examples have them."""
        return {f"{part}_auc": value for part, value in thirds(per_class, trained).items()}

    def _resolved(self, labels: Tensor) -> Tensor:
        """Labels ``[N, K]`` with those that are not known as ``uncertain`` takes them."""
        if self.uncertain == "ignore":
            return labels
        unknown = labels == UNLABELLED
        fill = torch.full_like(labels, int(self.uncertain == "ones"))
        return torch.where(unknown & ~unknown.all(dim=1, keepdim=True), fill, labels)


def _undefined(split: str, least: int, counts: LabelArray) -> RequestError:
    """Return the error for a split on which metrics over labels have no value."""
    if least == 1:
        what = f"no label has an example in {split} that has it, and another that lacks it"
        return RequestError(what, where="task", allowed=f"another or a larger {split} set")
    return RequestError(
        f"no label has {least} examples in {split} that have it, and as many that lack it",
        where="task: min_positives",
        allowed=f"at most {max(1, int(counts.max()))}, or a larger {split} set",
    )
