"""What a changed network loses against the original, example by example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import norm, t

from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.tasks import Task

DROP_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Drop:
    """Points of the primary metric that a changed network loses, on the same examples.

    Attributes:
        metric: The primary metric.
        before: Its value for the original, a fraction.
        after: Its value for the changed network.
        points: 100 times the difference; negative for a gain.
        ci_low: Lower end of its 95 % interval over other examples of the kind.
        ci_high: Upper end.
        examples: Number of examples.
        worst_class: The class that loses most.
        worst_class_before: Its metric for the original.
        worst_class_after: Its metric for the changed network.

    Example:
        >>> drop = Drop("accuracy", 0.9, 0.88, 2.0, 0.5, 3.5, 500, "cat", 0.8, 0.7)
        >>> drop.text
        'accuracy 90.00 % to 88.00 %: 2.00 points lost (0.50 to 3.50); most in class cat, 80.0 % to 70.0 %'
    """

    metric: str
    before: float
    after: float
    points: float
    ci_low: float
    ci_high: float
    examples: int
    worst_class: str
    worst_class_before: float
    worst_class_after: float

    @property
    def text(self) -> str:
        """The drop in one sentence."""
        change = f"{self.metric} {100 * self.before:.2f} % to {100 * self.after:.2f} %"
        lost = f"{self.points:.2f} points lost ({self.ci_low:.2f} to {self.ci_high:.2f})"
        worst = f"{100 * self.worst_class_before:.1f} % to {100 * self.worst_class_after:.1f} %"
        return f"{change}: {lost}; most in class {self.worst_class}, {worst}"

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return asdict(self)


def paired_drop(before: Items, after: Items, examples: Examples, task: Task) -> Drop:
    """Return what is lost from one set of logits to another, for the same examples.

    Args:
        before: Logits of the original, ``[N, C]``.
        after: Logits of the changed network, of the same shape.
        examples: The examples.
        task: The task.

    Example:
        >>> from distillab.tasks import Classification
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> right, wrong = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
        >>> found = paired_drop(right, wrong, images, Classification())
        >>> found.points, found.worst_class
        (50.0, 'b')
    """
    targets = examples.targets
    old, new = task.contributions(before, targets), task.contributions(after, targets)
    low, high = paired_interval(task)(old - new)
    classes = np.stack([task.per_class(before, targets), task.per_class(after, targets)])
    losses = classes[0] - classes[1]
    worst = 0 if np.isnan(losses).all() else int(np.nanargmax(losses))
    scores = task.score(before, targets), task.score(after, targets)
    return Drop(
        task.primary,
        *scores,
        100 * (scores[0] - scores[1]),
        100 * low,
        100 * high,
        len(old),
        examples.classes[worst],
        float(classes[0, worst]),
        float(classes[1, worst]),
    )


def paired_interval(task: Task) -> Callable[[Items], tuple[float, float]]:
    """Return the interval that fits what examples add to the primary metric of a task.

    That of :func:`paired_accuracy` where it is 0 or 1, and of :func:`paired_mean` otherwise, as for balanced
    accuracy.

    Example:
        >>> from distillab.tasks import BalancedClassification, Classification
        >>> paired_interval(Classification()).__name__, paired_interval(BalancedClassification()).__name__
        ('paired_accuracy', 'paired_mean')
    """
    return paired_accuracy if task.metrics[task.primary].counts_examples else paired_mean


def paired_accuracy(differences: Items) -> tuple[float, float]:
    """Return the interval of the mean of paired differences of right (1) and wrong (0).

    Adjusted Wald interval of Bonett and Price, "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data", J. Educ. Behav. Stat. 37, 2012: it has a width even if nothing
    differs.

    Example:
        >>> low, high = paired_accuracy(np.zeros(1000))
        >>> round(low, 4), round(high, 4)
        (-0.0028, 0.0028)
    """
    n = len(differences)
    lost, won = ((differences > 0).sum() + 1) / (n + 2), ((differences < 0).sum() + 1) / (n + 2)
    spread = float(np.sqrt((lost + won - (lost - won) ** 2) / (n + 2)))
    half = float(norm.ppf((1 + DROP_CONFIDENCE) / 2)) * spread
    return float(lost - won) - half, float(lost - won) + half


def paired_mean(differences: Items) -> tuple[float, float]:
    """Return Student's interval of the mean of paired differences.

    Example:
        >>> paired_mean(np.array([0.0, 0.0, 0.0]))
        (0.0, 0.0)
    """
    n = len(differences)
    mean = float(differences.mean())
    if n < 2:
        return float("-inf"), float("inf")
    half = float(t.ppf((1 + DROP_CONFIDENCE) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return mean - half, mean + half
