"""How far the group of an example alone, such as the place of a recording, predicts its class."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import Examples, Indices
from distillab.data.targets import Labels

WORTH_NOTING = 0.05


def balanced_accuracy_of_group(train: Examples, test: Examples) -> float | None:
    """Return the balanced accuracy of predicting each class from the group of its example alone.

    The prediction for a group is the class c with the largest n_gc / n_c: the share of the training examples
    of c that are in the group, which is the best rule for balanced accuracy. A group without a training
    example is predicted to be of the first class.

    Args:
        train: Labelled examples with groups.
        test: Examples of the same classes and groups.

    Returns:
        A fraction in [0, 1]; None where examples have no groups, or not one label each.

    Example:
        >>> from dataclasses import replace
        >>> images = Examples.of(np.zeros((4, 1, 8, 8), np.uint8), [0, 0, 1, 1], ("no", "yes"))
        >>> sites = replace(images, groups=np.array([0, 0, 1, 1]), group_names=("a", "b"))
        >>> balanced_accuracy_of_group(sites, sites)
        1.0
    """
    if train.groups is None or test.groups is None:
        return None
    if not (isinstance(train.targets, Labels) and isinstance(test.targets, Labels)):
        return None
    predicted = classes_by_group(train, balanced=True)[test.groups]
    recalls = [
        float((predicted[test.labels == label] == label).mean())
        for label in np.unique(test.labels[test.labelled])
    ]
    return float(np.mean(recalls)) if recalls else None


def classes_by_group(train: Examples, *, balanced: bool) -> Indices:
    """Return the class that is predicted for each group, int64 ``[number of groups]``.

    Args:
        train: Labelled examples with groups and one class each.
        balanced: Whether classes count equally. The prediction for a group is then the class c with the
            largest n_gc / n_c, else that with the largest n_gc. A group without a training example is
            predicted to be of the first class if classes count equally, else of the majority class.

    Example:
        >>> from dataclasses import replace
        >>> images = Examples.of(np.zeros((5, 1, 8, 8), np.uint8), [0, 0, 0, 0, 1], ("no", "yes"))
        >>> sites = replace(images, groups=np.array([0, 0, 1, 1, 1]), group_names=("a", "b", "c"))
        >>> classes_by_group(sites, balanced=False), classes_by_group(sites, balanced=True)
        (array([0, 0, 0]), array([0, 1, 0]))
    """
    if train.groups is None:
        raise ValueError("the examples have no groups")
    counts = np.zeros((len(train.group_names), len(train.classes)))
    np.add.at(counts, (train.groups[train.labelled], train.labels[train.labelled]), 1)
    per_class = counts.sum(axis=0)
    found: Indices = np.where(counts.any(axis=1), counts.argmax(axis=1), per_class.argmax())
    if balanced:
        found = (counts / per_class.clip(min=1)).argmax(axis=1)
    return found


def group_note(train: Examples, test: Examples) -> tuple[str, ...]:
    """Return the sentence that states how well groups alone predict classes; none if they hardly do."""
    found = balanced_accuracy_of_group(train, test)
    chance = 1 / len(train.classes)
    if found is None or found < chance + WORTH_NOTING:
        return ()
    return (
        f"The group of an example alone predicts its class on test with a balanced accuracy of "
        f"{100 * found:.0f} % ({100 * chance:.0f} % by guessing): compare networks with that.",
    )
