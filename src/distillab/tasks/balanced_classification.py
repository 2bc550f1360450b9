"""Classification judged by balanced accuracy, such as telling abnormal from normal records."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor

from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.tasks.arrays import GroupArray, LabelArray, Logits, Values
from distillab.tasks.classification import METRICS as PLAIN_METRICS
from distillab.tasks.classification import Classification
from distillab.tasks.classification_metrics import class_accuracies
from distillab.tasks.losses import cross_entropy
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed, mean_over_labelled
from distillab.tasks.task import task

_accuracy = partial(Metric, uses_study_margin=True)

BALANCED_METRICS = MetricTable(
    [
        *_accuracy("balanced_accuracy", "balanced accuracy", "Balanced accuracy", brief=True).with_selected(),
        _accuracy("sensitivity", "sensitivity", "Sensitivity", brief=True),
        _accuracy("specificity", "specificity", "Specificity", brief=True),
        _accuracy(
            "worst_group_balanced_accuracy", "balanced accuracy of the worst group", "Worst group, balanced"
        ),
        _accuracy(
            "group_balanced_accuracy", "mean balanced accuracy of the groups", "Mean over groups, balanced"
        ),
        *(metric for name, metric in PLAIN_METRICS.items() if name != "balanced_accuracy"),
    ],
    per_test=["balanced_accuracy", "worst_group_balanced_accuracy"],
)


def _positive_weights(weights: object) -> object:
    """Return class weights. Raises RequestError for numbers that are not positive and finite."""
    if isinstance(weights, tuple) and not all(math.isfinite(each) and each > 0 for each in weights):
        raise RequestError(f"{list(weights)} are not weights", allowed="positive numbers, one per class")
    return weights


@task("balanced_classification")
class BalancedClassification(Classification):
    """One class per example, judged by balanced accuracy: the mean of the recalls of the classes.

    Of two classes, such as normal and abnormal, the second one is positive: ``sensitivity`` is its recall,
    ``specificity`` that of the first one, and balanced accuracy their mean.

    Attributes:
        class_weights: Weights of the classes in the loss on labels: ``none``, ``balanced`` for n / (C n_c) of
            the training examples of a run (n in all, n_c of class c), or one number per class. Terms that
            learn from the teacher are not weighted.

    Example:
        >>> from distillab.data.targets import Labels
        >>> targets = Labels(np.array([0, 0, 0, 1]), classes=2)
        >>> always_first = np.array([[1.0, 0.0]] * 4)
        >>> BalancedClassification().score(always_first, targets)
        0.5
    """

    primary: ClassVar[str] = "balanced_accuracy"
    metrics: ClassVar[MetricTable] = BALANCED_METRICS
    worst_group: ClassVar[str] = "worst_group_balanced_accuracy"
    group_mean: ClassVar[str] = "group_balanced_accuracy"

    class_weights: Annotated[
        Literal["none", "balanced"] | tuple[float, ...], AfterValidator(_positive_weights)
    ] = "none"

    def check_classes(self, classes: int) -> None:
        """Raise RequestError unless there is one weight per class."""
        if not isinstance(self.class_weights, str) and len(self.class_weights) != classes:
            raise RequestError(
                f"there are {len(self.class_weights)} weights for {classes} classes",
                where="task: class_weights",
                allowed="one number per class",
            )

    def for_training(self, labels: Tensor, classes: int) -> BalancedClassification:
        """Return this task with the weights that ``balanced`` stands for.

        Args:
            labels: int64 ``[N]``, the labels of the training examples, -1 where not known.
            classes: The number of classes.

        Raises:
            RequestError: A class has no example, and hence no weight.

        Example:
            >>> BalancedClassification(class_weights="balanced").for_training(torch.tensor([0, 0, 0, 1]), 2)
            BalancedClassification(class_weights=(0.6666666666666666, 2.0))
        """
        if self.class_weights != "balanced":
            return self
        counts = torch.bincount(labels[labels >= 0], minlength=classes)
        if bool((counts == 0).any()):
            raise RequestError(
                "a class has no labelled training example",
                where="task: class_weights",
                allowed="none, or numbers",
            )
        total = float(counts.sum())
        return self.model_copy(
            update={"class_weights": tuple(total / (len(counts) * each) for each in counts.tolist())}
        )

    def loss(
        self, logits: Tensor, labels: Tensor, *, mixed: Mixed | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the weighted cross-entropy of each example with its label, ``[N]``.

        Raises:
            RequestError: There is not one weight per class.
        """
        if isinstance(self.class_weights, str):
            return super().loss(logits, labels, mixed=mixed, smoothing=smoothing)
        self.check_classes(logits.shape[1])
        weights = torch.tensor(self.class_weights, dtype=torch.float32, device=logits.device)

        def weighted(known: Tensor) -> Tensor:
            return weights[known.clamp(min=0)] * cross_entropy(logits, known, smoothing)

        return mean_over_labelled(weighted, labels, mixed)

    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return n / (C n_c) for each correct example of class c, and 0 for the others; C classes occur."""
        correct = (logits.argmax(axis=1) == targets.values)[targets.labelled]
        labels = targets.values[targets.labelled]
        counts = np.bincount(labels)
        weights = len(labels) / ((counts > 0).sum() * counts[labels])
        contributions: Values = correct * weights
        return contributions

    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of classification, ``sensitivity`` and ``specificity`` of two classes, and the
        least and the mean balanced accuracy of the groups in which it is defined (:meth:`per_group`); ``val``
        is not used."""
        found = super().measure(logits, targets, groups=groups, val=val)
        if targets.classes == 2:
            found["specificity"], found["sensitivity"] = self.per_class(logits, targets).tolist()
        by_group = {} if groups is None else self.per_group(logits, targets, groups)
        defined = [score for score in by_group.values() if not math.isnan(score)]
        found["worst_group_balanced_accuracy"] = min(defined, default=math.nan)
        found["group_balanced_accuracy"] = float(np.mean(defined)) if defined else math.nan
        return found

    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the balanced accuracy of each group, NaN for one that lacks a class of the test set."""
        needed = np.unique(targets.values[targets.labelled])
        return {
            int(group): _balanced(logits[groups == group], targets.values[groups == group], needed)
            for group in np.unique(groups)
        }


def _balanced(logits: Logits, labels: LabelArray, needed: LabelArray) -> float:
    if not np.isin(needed, labels).all():
        return math.nan
    return float(np.nanmean(class_accuracies(logits, labels)))
