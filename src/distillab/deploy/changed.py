"""The predictions that a changed network makes differently, and how many of them are right."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import Items
from distillab.data.targets import UNLABELLED, Targets
from distillab.tasks import Classification, Task


@dataclass(frozen=True)
class ChangedPredictions:
    """The predictions of a changed network that are not those of the original, on the same examples.

    Attributes:
        predictions: Number of predictions: of examples, or of known labels if an example has several.
        differing: How many of them differ.
        newly_right: How many of these are right, those of the original being wrong.
        newly_wrong: How many of these are wrong, those of the original being right. The rest are wrong in
            both.

    Example:
        >>> ChangedPredictions(500, 12, 5, 6).text
        '12 of 500 predictions differ (2.40 %), of which int8 is right in 5, float in 6, and neither in 1'
    """

    predictions: int
    differing: int
    newly_right: int
    newly_wrong: int

    @property
    def share(self) -> float:
        """The share of predictions that differ."""
        return self.differing / max(self.predictions, 1)

    @property
    def wrong_in_both(self) -> int:
        """The number of predictions that differ and are wrong in both."""
        return self.differing - self.newly_right - self.newly_wrong

    @property
    def text(self) -> str:
        """The numbers in one sentence, of a network in int8 against the one in float."""
        some = f"{self.differing} of {self.predictions} predictions differ ({100 * self.share:.2f} %)"
        if not self.differing:
            return some
        right = f"int8 is right in {self.newly_right}, float in {self.newly_wrong}"
        return f"{some}, of which {right}, and neither in {self.wrong_in_both}"

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {**asdict(self), "wrong_in_both": self.wrong_in_both, "share": self.share}


def changed_predictions(before: Items, after: Items, targets: Targets, task: Task) -> ChangedPredictions:
    """Return how the predictions of one set of logits differ from those of another.

    Args:
        before: Logits of the original, ``[N, C]``.
        after: Logits of the changed network, of the same shape.
        targets: The targets.
        task: The task.

    Example:
        >>> from distillab.data.targets import Labels
        >>> zero, one = [1.0, 0.0], [0.0, 1.0]
        >>> before, after = np.array([zero, zero, one]), np.array([one, zero, zero])
        >>> found = changed_predictions(before, after, Labels(np.array([1, 0, 1]), 2), Classification())
        >>> found.differing, found.newly_right, found.newly_wrong
        (2, 1, 1)
    """
    truth = np.asarray(targets.values)
    if isinstance(task, Classification):
        old, new = before.argmax(axis=1), after.argmax(axis=1)
    else:
        known = truth != UNLABELLED
        old, new, truth = (before >= 0)[known], (after >= 0)[known], truth[known]
    differs = old != new
    return ChangedPredictions(
        len(differs),
        int(differs.sum()),
        int((differs & (new == truth)).sum()),
        int((differs & (old == truth)).sum()),
    )
