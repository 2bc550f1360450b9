"""How good a run is within each group of the test set, and the baseline that predicts from groups alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distillab.data.examples import Examples
from distillab.data.group_rule import classes_by_group
from distillab.data.targets import Labels
from distillab.tasks import Task
from distillab.tasks.arrays import Logits

MOST_GROUPS = 50  # a test set of more groups, such as one of hundreds of patients, has no table


def scores_by_group(logits: Logits, test: Examples, task: Task) -> dict[str, tuple[float, int]] | None:
    """Return the primary metric within each group of a test set, with its number of examples.

    Args:
        logits: Outputs for the N examples, float ``[N, ...]``.
        test: The test set.
        task: The task.

    Returns:
        The scores by name of the group, NaN where the metric is undefined; None for a test set with fewer
        than two groups or more than :data:`MOST_GROUPS`.

    Example:
        >>> from dataclasses import replace
        >>> from distillab.tasks import Classification
        >>> images = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("no", "yes"))
        >>> sites = replace(images, groups=np.array([0, 1, 1]), group_names=("a", "b"))
        >>> logits = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
        >>> scores_by_group(logits, sites, Classification())
        {'a': (1.0, 1), 'b': (0.5, 2)}
    """
    if test.groups is None:
        return None
    numbers, counts = np.unique(test.groups, return_counts=True)
    if not 2 <= len(numbers) <= MOST_GROUPS:
        return None
    scores = task.per_group(logits, test.targets, test.groups)
    return {
        test.group_names[number]: (scores.get(number, float("nan")), count)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    }


@dataclass(frozen=True)
class GroupBaseline:
    """How good it is to predict the class of each test example from its group alone.

    Attributes:
        metric: The primary metric of the task.
        score: Its value for the rule: the majority class of the group in train or, for balanced accuracy, the
            class of which the group has the largest share of the training examples.
        without_groups: Its value for one class for all: the majority class of train.
        n_groups: Number of groups of the test set.
    """

    metric: str
    score: float
    without_groups: float
    n_groups: int

    def sentence(self, task: Task) -> str:
        """Return the baseline in words.

        Example:
            >>> from distillab.tasks import Classification
            >>> GroupBaseline("accuracy", 0.741, 0.5, 6).sentence(Classification())[:73]
            'Group-only baseline: predicting each test example by the majority class o'
        """
        metric = task.metrics[self.metric]
        rule = "majority class" if self.metric == "accuracy" else "relatively most frequent class"
        return (
            f"Group-only baseline: predicting each test example by the {rule} of its group in train, "
            f"without a look at the example, has {metric.label} {100 * self.score:.1f} % "
            f"({100 * self.without_groups:.1f} % without the group). Compare every score with that."
        )


def group_baseline(train: Examples, test: Examples, task: Task) -> GroupBaseline | None:
    """Return how good it is to predict classes from groups alone.

    Args:
        train: The training examples as read.
        test: The primary test set as read.
        task: The task of the study.

    Returns:
        None where examples have no groups or not one class each, where no group of the test set is in train,
        and for tasks whose primary metric is neither accuracy nor balanced accuracy.

    Example:
        >>> from dataclasses import replace
        >>> from distillab.tasks import Classification
        >>> images = Examples.of(np.zeros((4, 1, 8, 8), np.uint8), [0, 0, 1, 1], ("no", "yes"))
        >>> sites = replace(images, groups=np.array([0, 0, 1, 1]), group_names=("a", "b"))
        >>> found = group_baseline(sites, sites, Classification())
        >>> found.score, found.without_groups
        (1.0, 0.5)
    """
    if task.primary not in ("accuracy", "balanced_accuracy") or train.groups is None or test.groups is None:
        return None
    if not (isinstance(train.targets, Labels) and isinstance(test.targets, Labels)):
        return None
    if not np.isin(test.groups, train.groups[train.labelled]).any():
        return None
    rule = classes_by_group(train, balanced=task.primary == "balanced_accuracy")
    one_hot = np.eye(len(train.classes), dtype=np.float32)
    majority = np.full(len(test), np.bincount(train.labels[train.labelled]).argmax())
    return GroupBaseline(
        task.primary,
        task.score(one_hot[rule[test.groups]], test.targets),
        task.score(one_hot[majority], test.targets),
        len(np.unique(test.groups)),
    )
