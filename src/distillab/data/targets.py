"""Targets: what is known of each example, one kind per form that an annotation takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from distillab.canonical import array_digest
from distillab.errors import RequestError

UNLABELLED = -1
"""In place of a label that is not known."""


TARGET_KINDS: dict[str, type[Targets]] = {}
"""The kinds of targets, by the name that a stored dataset has of them; each kind enters itself."""


@dataclass(frozen=True, eq=False)
class Targets(ABC):
    """Targets of N examples. Immutable: every cut returns new targets.

    Attributes:
        values: What a batch contains, one row per example.
        classes: Number of classes, or of labels that an example can have.
        kind: Name of this kind of targets, in messages and in stored datasets.
        complete: Whether every split of a dataset must hold examples of every class.

    Example:
        >>> isinstance(Labels(np.array([0, 1]), classes=2), Targets)
        True
    """

    values: npt.NDArray[Any]
    classes: int

    kind: ClassVar[str]
    complete: ClassVar[bool]

    def __init_subclass__(cls) -> None:
        TARGET_KINDS[cls.kind] = cls

    def __len__(self) -> int:
        return len(self.values)

    def take(self, positions: npt.NDArray[np.int64]) -> Self:
        """Return the targets at ``positions`` (int64), in that order."""
        return type(self)(self.values[positions], self.classes)

    def with_values(self, values: Any, classes: int | None = None) -> Self:
        """Return targets of the same kind and dtype with other values, and other classes if given."""
        return type(self)(np.asarray(values, dtype=self.values.dtype), classes or self.classes)

    def unknown(self, number: int) -> Self:
        """Return ``number`` targets of the same kind and classes, all unlabelled."""
        shape = (number, *self.values.shape[1:])
        return type(self)(np.full(shape, UNLABELLED, dtype=self.values.dtype), self.classes)

    def joined(self, others: Targets) -> Self:
        """Return these targets followed by ``others``.

        Raises:
            ValueError: The others are of another kind or have another number of classes.
        """
        if type(others) is not type(self) or others.classes != self.classes:
            raise ValueError(
                f"{others.kind} of {others.classes} classes cannot follow {self.kind} of {self.classes}"
            )
        return type(self)(np.concatenate([self.values, others.values]), self.classes)

    @cached_property
    def digest(self) -> str:
        """Content address of the values, in order."""
        return array_digest(self.values)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that :meth:`from_arrays` reads back."""
        return {"labels": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], classes: int) -> Self:
        """Return the targets of some arrays; those of other names are ignored."""
        return cls(arrays["labels"], classes)

    @property
    @abstractmethod
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each example has a label, bool ``[N]``."""

    @property
    @abstractmethod
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of examples per class, int64 ``[classes]``."""

    @property
    @abstractmethod
    def members(self) -> npt.NDArray[np.bool_]:
        """Whether each example is known to belong to each class, bool ``[N, classes]``."""

    @abstractmethod
    def belong_to(self, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which examples remain when only some classes (int64) are kept, bool ``[N]``."""

    @abstractmethod
    def of_classes(self, kept: npt.NDArray[np.int64]) -> Self:
        """Return targets in which the classes ``kept`` (int64) are 0, 1, ... in that order."""

    @abstractmethod
    def merged(self, into: npt.NDArray[np.int64], classes: int) -> Self:
        """Return targets of ``classes`` coarser classes; ``into`` (int64) names the one of each class."""


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

    kind: ClassVar[str] = "labels"
    complete: ClassVar[bool] = True

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

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """Whether each example has the label of each class, bool ``[N, classes]``."""
        return np.equal(self.values[:, None], np.arange(self.classes))

    def belong_to(self, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which examples are of the classes ``kept`` or unlabelled, bool ``[N]``."""
        return np.logical_or(~self.labelled, np.isin(self.values, kept))

    def of_classes(self, kept: npt.NDArray[np.int64]) -> Labels:
        """Return labels numbered by position in ``kept``; those of other classes become unlabelled."""
        # An unlabelled example, -1, reads the last entry, which is -1 again.
        new = np.full(self.classes + 1, UNLABELLED, dtype=np.int64)
        new[kept] = np.arange(len(kept))
        return self.with_values(new[self.values], len(kept))

    def merged(self, into: npt.NDArray[np.int64], classes: int) -> Labels:
        """Return the labels of the coarser classes; unlabelled examples stay so."""
        return self.with_values(np.append(into, UNLABELLED)[self.values], classes)


@dataclass(frozen=True, eq=False)
class Identities(Labels):
    """Identities that no network is trained on, such as speakers, and the trials that verify them.

    A trial is a pair of examples; whether they are of one identity is what is asked.

    Attributes:
        values: int64 ``[N]`` in ``[0, classes)``: the identities of the test set, which are not the classes
            of the training set.
        trials: int64 ``[T, 2]``, positions of two examples each; None for all pairs of different examples.

    Example:
        >>> three = Identities(np.array([0, 0, 1]), 2, np.array([[0, 1], [0, 2]]))
        >>> three.take(np.array([2, 0])).trials
        array([[1, 0]])
    """

    trials: npt.NDArray[np.int64] | None = None

    kind: ClassVar[str] = "identities"
    complete: ClassVar[bool] = False

    def as_labels(self) -> Labels:
        """Return the same values as labels, without trials."""
        return Labels(self.values, self.classes)

    def take(self, positions: npt.NDArray[np.int64]) -> Identities:
        """Return the identities at ``positions``, with the trials of which both examples are among them."""
        values = self.values[positions]
        if self.trials is None:
            return Identities(values, self.classes)
        place = np.full(len(self), -1, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        moved = place[self.trials]
        return Identities(values, self.classes, moved[(moved >= 0).all(axis=1)])

    def with_values(self, values: Any, classes: int | None = None) -> Identities:
        """Return the same trials of other identities."""
        return Identities(np.asarray(values, dtype=np.int64), classes or self.classes, self.trials)

    def joined(self, others: Targets) -> Identities:
        """Return these identities followed by ``others``, with all pairs or with the trials of both.

        Raises:
            ValueError: The others are of another kind or number of classes, or only one side lists trials.
        """
        followed = super().joined(others)
        assert isinstance(others, Identities)  # joined before
        if self.trials is None and others.trials is None:
            return followed
        if self.trials is None or others.trials is None:
            raise ValueError("identities with listed trials cannot be joined with those of all pairs")
        trials = np.concatenate([self.trials, others.trials + len(self)])
        return Identities(followed.values, self.classes, trials)

    @cached_property
    def digest(self) -> str:
        """Content address of the values and the trials, in order."""
        return array_digest(self.values) if self.trials is None else array_digest(self.values, self.trials)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that :meth:`from_arrays` reads back."""
        return super().arrays() | ({} if self.trials is None else {"trials": self.trials})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], classes: int) -> Identities:
        """Return the identities of some arrays, with their trials."""
        return cls(arrays["labels"], classes, arrays.get("trials"))


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

    kind: ClassVar[str] = "label sets"
    complete: ClassVar[bool] = False

    def __post_init__(self) -> None:
        shape, dtype = self.values.shape, self.values.dtype
        if self.values.ndim != 2 or shape[1] != self.classes or dtype != np.int8:
            raise ValueError(f"label sets are int8 [N, {self.classes}], not {dtype} {list(shape)}")
        if self.values.size and not UNLABELLED <= self.values.min() <= self.values.max() <= 1:
            raise ValueError(f"a label of a set is 1, 0 or {UNLABELLED}")

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether any label of each example is known, bool ``[N]``."""
        return np.asarray(np.not_equal(self.values, UNLABELLED).any(axis=1))

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of examples that have each label, int64 ``[classes]``."""
        return np.asarray(self.members.sum(axis=0), dtype=np.int64)

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """Whether each example is known to have each label, bool ``[N, classes]``."""
        return np.equal(self.values, 1)

    def belong_to(self, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return that all examples remain, bool ``[N]``: an example need not have any label."""
        return np.ones(len(self), dtype=np.bool_)

    def of_classes(self, kept: npt.NDArray[np.int64]) -> LabelSets:
        """Return the label sets without the labels that are not ``kept``, in the order given."""
        return self.with_values(self.values[:, kept], len(kept))

    def merged(self, into: npt.NDArray[np.int64], classes: int) -> LabelSets:
        """Return sets of coarser labels: an example has one if it has any of its labels, lacks it if it lacks
        all of them, and otherwise it is unknown."""
        parts = [self.values[:, into == label] for label in range(classes)]
        columns = [
            np.where((part == 1).any(axis=1), 1, np.where((part == 0).all(axis=1), 0, UNLABELLED))
            for part in parts
        ]
        return self.with_values(np.stack(columns, axis=1), classes)


def refuse_identities(tests: Iterable[Targets], what: str) -> None:
    """Raise RequestError if a test set has identities that nothing is trained on.

    Args:
        tests: The targets of the test sets.
        what: What does not work with them, the beginning of a sentence.

    Example:
        >>> refuse_identities([Identities(np.array([0, 1]), 2)], "this command")
        Traceback (most recent call last):
        distillab.errors.RequestError: this command does not work with classes that are not trained on ...
    """
    if any(isinstance(each, Identities) for each in tests):
        raise RequestError(
            f"{what} does not work with classes that are not trained on",
            allowed="data without `unseen_classes` and `trials`, or a study with `task: verification`",
        )
