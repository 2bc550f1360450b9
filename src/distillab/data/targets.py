"""Targets: what is known of each example, one kind per form that an annotation takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from distillab.canonical import array_digest

UNLABELLED = -1
"""In place of a label that is not known."""


@dataclass(frozen=True, eq=False)
class Targets(ABC):
    """Targets of N examples. Immutable: every cut returns new targets.

    Attributes:
        values: What a batch contains, one row per example.
        classes: Number of classes, or of labels that an example can have.
    """

    values: npt.NDArray[Any]
    classes: int

    def __len__(self) -> int:
        return len(self.values)

    def take(self, positions: npt.NDArray[np.int64]) -> Self:
        """Return the targets at ``positions`` (int64), in that order."""
        return type(self)(self.values[positions], self.classes)

    @cached_property
    def digest(self) -> str:
        """Content address of the values, in order."""
        return array_digest(self.values)

    @property
    @abstractmethod
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each example has a label, bool ``[N]``."""

    @property
    @abstractmethod
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of examples per class, int64 ``[classes]``."""


@dataclass(frozen=True, eq=False)
class Labels(Targets):
    """One class per example.

    Attributes:
        values: int64 ``[N]`` in ``[0, classes)``, or :data:`UNLABELLED`.

    Raises:
        ValueError: A label has no class, or the array has another shape or dtype.

    Example:
        >>> labels = Labels(np.array([2, 0, -1, 2]), classes=3)
        >>> labels.counts
        array([1, 0, 2])
        >>> labels.labelled
        array([ True,  True, False,  True])
        >>> labels.take(np.array([3, 1])).values
        array([2, 0])
    """

    values: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.dtype != np.int64:
            raise ValueError(f"labels are int64 [N], not {self.values.dtype} {list(self.values.shape)}")
        if len(self) and not UNLABELLED <= self.values.min() <= self.values.max() < self.classes:
            raise ValueError(f"a label has no class among {self.classes}")

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each example has a label, bool ``[N]``."""
        return np.not_equal(self.values, UNLABELLED)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of labelled examples per class, int64 ``[classes]``."""
        return np.bincount(self.values[self.labelled], minlength=self.classes).astype(np.int64)


@dataclass(frozen=True, eq=False)
class LabelSets(Targets):
    """Any number of labels per example.

    Attributes:
        values: int8 ``[N, classes]``: 1 if the example has the label, 0 if not, :data:`UNLABELLED` if that
            is not known. An example of which no label is known is unlabelled.

    Raises:
        ValueError: The array has another shape, dtype or value.

    Example:
        >>> sets = LabelSets(np.array([[1, 1], [0, -1], [-1, -1]], dtype=np.int8), classes=2)
        >>> sets.counts
        array([1, 1])
        >>> sets.labelled
        array([ True,  True, False])
    """

    values: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        shape, dtype = self.values.shape, self.values.dtype
        if self.values.ndim != 2 or shape[1] != self.classes or dtype != np.int8:
            raise ValueError(f"label sets are int8 [N, {self.classes}], not {dtype} {list(shape)}")
        if self.values.size and not UNLABELLED <= self.values.min() <= self.values.max() <= 1:
            raise ValueError(f"a label of a set is 1, 0 or {UNLABELLED}")

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether any label of each example is known, bool ``[N]``."""
        known: npt.NDArray[np.bool_] = np.any(self.values != UNLABELLED, axis=1)
        return known

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of examples that have each label, int64 ``[classes]``."""
        counts: npt.NDArray[np.int64] = np.equal(self.values, 1).sum(axis=0, dtype=np.int64)
        return counts
