"""Classification: one class per example, predicted by a softmax over all classes."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from torch import Tensor

from distillab.data.targets import Labels, Targets
from distillab.tasks.arrays import GroupArray, LabelArray, Logits, Values
from distillab.tasks.classification_metrics import (
    class_accuracies,
    classification_metrics,
    fidelity,
    group_accuracies,
    thirds,
)
from distillab.tasks.losses import cross_entropy, kl_divergence
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed, mean_over_labelled
from distillab.tasks.task import Task, task

_accuracy = partial(Metric, uses_study_margin=True)

METRICS = MetricTable(
    [
        *_accuracy("accuracy", "accuracy", "Accuracy", counts_examples=True, brief=True).with_selected(),
        _accuracy("balanced_accuracy", "balanced accuracy", "Balanced accuracy", counts_examples=True),
        _accuracy("macro_f1", "macro F1", "Macro F1"),
        _accuracy("worst_class_accuracy", "accuracy of the worst class", "Worst class", brief=True),
        _accuracy("worst_group_accuracy", "accuracy of the worst group", "Worst group"),
        Metric(
            "nll",
            "negative log-likelihood",
            "Negative log-likelihood",
            "nats",
            higher_is_better=False,
            margin=0.02,
            kind="calibration",
        ),
        Metric("brier", "Brier score", "Brier score", higher_is_better=False, kind="calibration"),
        Metric(
            "ece",
            "calibration error",
            "Calibration error (ECE)",
            higher_is_better=False,
            margin=0.01,
            kind="calibration",
            brief=True,
        ),
        Metric(
            "agreement",
            "agreement with the teacher",
            "Agreement with teacher",
            margin=0.01,
            counts_examples=True,
            kind="fidelity",
            brief=True,
        ),
        Metric(
            "teacher_kl",
            "divergence from the teacher",
            "Divergence from teacher (KL)",
            "nats",
            higher_is_better=False,
            margin=0.02,
            kind="fidelity",
        ),
        _accuracy("head_accuracy", "accuracy of the frequent classes", "Frequent classes"),
        _accuracy("middle_accuracy", "accuracy of the middle classes", "Middle classes"),
        _accuracy("tail_accuracy", "accuracy of the rare classes", "Rare classes"),
        _accuracy("group_accuracy", "mean accuracy of the groups", "Mean over groups"),
    ],
    per_test=["accuracy", "worst_group_accuracy"],
)


@task("classification")
class Classification(Task):
    """One class per example: cross-entropy, softmax, accuracy.

    Example:
        >>> import numpy as np
        >>> task = Classification()
        >>> task.head_width(10)
        10
        >>> task.score(np.array([[2.0, 1.0], [0.0, 3.0]]), Labels(np.array([0, 0]), classes=2))
        0.5
    """

    primary: ClassVar[str] = "accuracy"
    metrics: ClassVar[MetricTable] = METRICS
    targets: ClassVar[type[Targets]] = Labels
    class_metric: ClassVar[Metric] = _accuracy(
        "class_accuracy", "accuracy of the class", "Accuracy of the class", counts_examples=True
    )
    worst_group: ClassVar[str] = "worst_group_accuracy"
    group_mean: ClassVar[str] = "group_accuracy"

    def head_width(self, classes: int) -> int:
        """Return ``classes``."""
        return classes

    def loss(
        self, logits: Tensor, labels: Tensor, *, mixed: Mixed | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the cross-entropy of each example with its label, ``[N]``.

        Where two examples were mixed, share CE(y) + (1 - share) CE(y') (Zhang et al., mixup, ICLR 2018).
        """
        return mean_over_labelled(lambda known: cross_entropy(logits, known, smoothing), labels, mixed)

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return KL(p_t || p_s) with p = softmax(z / T), ``[N]``."""
        return kl_divergence(student, teacher, temperature)

    def score(self, logits: Logits, targets: Targets) -> float:
        """Return the accuracy over the labelled examples. Ties go to the lower class."""
        return float(self.contributions(logits, targets).mean())

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return 1 for each labelled example that is classified correctly, and 0 for the others."""
        correct = logits.argmax(axis=1) == targets.values
        contributions: Values = correct[targets.labelled].astype(np.float64)
        return contributions

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return what :func:`classification_metrics` does; ``val`` is not used."""
        return classification_metrics(logits, targets.values, groups)

    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return the accuracy (recall) of each class."""
        return class_accuracies(logits, targets.values)

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the accuracy of each group."""
        return group_accuracies(logits, targets.values, groups)

    def undefined_classes(self, targets: Targets) -> int:
        """Return how many classes have no example."""
        return int((targets.counts == 0).sum())

    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return ``agreement`` and ``teacher_kl`` as :func:`fidelity` does."""
        return fidelity(student, teacher)

    def by_frequency(self, per_class: Values, trained: LabelArray) -> dict[str, float]:
        """Return the mean accuracy of each third of the classes, by how many training examples they have."""
        return {f"{part}_accuracy": value for part, value in thirds(per_class, trained).items()}
