"""Nested stratified subsets: the order of the examples within a class is fixed once, by their ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.data.targets import Labels, LabelSets, Targets
from distillab.errors import RequestError

LABELS_OR_SETS: tuple[type[Targets], ...] = (Labels, LabelSets)
"""The kinds of targets of factors for which classes are only strata."""


def stratified(examples: Examples) -> Examples:
    """Return examples labelled by the strata of subsets: their classes, or one stratum for label sets."""
    if isinstance(examples.targets, Labels):
        return examples
    one = Labels(np.zeros(len(examples), dtype=np.int64), 1)
    return replace(examples, targets=one, classes=("the whole set",), parents=())


def ranks_in_class(examples: Examples, key: int) -> Indices:
    """Return the rank of every example in a random order of its class, int64 ``[N]``, from 0.

    The order is that of numbers drawn for the examples' ids, so two examples of a class are in the same order
    in every set that contains both.
    """
    return places_in_class(examples, random_bits(examples.ids, key))


def places_in_class(examples: Examples, order: npt.NDArray[Any]) -> Indices:
    """Return the rank of every example in its class, sorted by ``order`` and then by id.

    Args:
        examples: N labelled examples.
        order: One number per example, ``[N]``.

    Returns:
        int64 ``[N]``, from 0.
    """
    order = np.lexsort((examples.ids, order, examples.labels))
    starts = np.cumsum(examples.counts) - examples.counts
    ranks = np.empty(len(examples), dtype=np.int64)
    ranks[order] = np.arange(len(examples)) - np.repeat(starts, examples.counts)
    return ranks


def first_of_each_class(examples: Examples, key: int, sizes: npt.ArrayLike) -> Examples:
    """Return the first ``sizes[c]`` examples of each class c in its random order, in the set's own order."""
    wanted = np.broadcast_to(np.asarray(sizes), examples.counts.shape)
    return examples.select(ranks_in_class(examples, key) < wanted[examples.labels])


def first_positions(targets: Targets) -> Indices:
    """Return the position of the first example of each class, int64 ``[K]``; -1 for a class without any."""
    if isinstance(targets, Labels):
        first = np.full(targets.classes, -1, dtype=np.int64)
        labels, first_of = np.unique(targets.values, return_index=True)
        first[labels[labels >= 0]] = first_of[labels >= 0]
        return first
    return np.where(targets.counts > 0, targets.members.argmax(axis=0), -1).astype(np.int64)


def check_class_sizes(examples: Examples, number: float, where: str) -> None:
    """Raise RequestError, stating the highest possible number, unless every class has ``number`` examples."""
    scarcest = int(examples.counts.argmin())
    most = int(examples.counts[scarcest])
    if number > most:
        raise RequestError(
            f"{number:g} examples per class were requested",
            where=where,
            allowed=f"at most {most} per class: {examples.classes[scarcest]!r} has {most}",
        )


def rounded(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the nearest whole numbers, halves rounded up, so that rounding never reverses an order."""
    return np.floor(np.asarray(values, dtype=np.float64) + 0.5).astype(np.int64)
