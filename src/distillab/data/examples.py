"""Examples: items of a pool with their targets, cut and relabelled without copying an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distillab.canonical import array_digest, chunked_digest, spec_id
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import Labels, Targets

Indices = npt.NDArray[np.int64]
Items = npt.NDArray[Any]
"""Items of a pool, ``[N, ...]``: uint8 ``[N, C, H, W]`` for images, float16 ``[N, C, F, T]`` for audio."""
Pixels = npt.NDArray[np.uint8]
"""Items that are images, uint8 ``[N, C, H, W]``."""
ItemShape = tuple[int, int, int]
"""Shape of one item: channels, height (bands for spectrograms), width (frames for spectrograms)."""

IMAGE = "image"
"""The modality of most pools; it is left out of content addresses."""
_CHUNK_BYTES = 2**26


class ItemStore(Protocol):
    """What a pool can hold: an array, or an object that reads or computes rows like one on demand.

    Example:
        >>> items: ItemStore = np.zeros((5, 3, 8, 8), np.uint8)
        >>> len(items), items.shape
        (5, (5, 3, 8, 8))
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """``(M, ...)``, of M items."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def ndim(self) -> int:
        """Number of dimensions, that of the items among them."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Items:
        """Return the items at ``rows``, an int64 array or a slice."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The items that sets of examples refer to, in memory, memory-mapped, on disk or computed on demand.

    Attributes:
        items: ``[M, ...]`` of any dtype and item shape.
        digest: Content address of the items.
        modality: Name of the modality of the items, see :mod:`distillab.modalities`.

    Example:
        >>> pool = Pool.of(np.zeros((5, 1, 40, 101), dtype=np.float16), modality="audio")
        >>> len(pool.items), pool.modality
        (5, 'audio')
    """

    items: ItemStore
    digest: str
    modality: str = IMAGE

    @classmethod
    def of(cls, items: ItemStore, *, modality: str = IMAGE) -> Pool:
        """Wrap items and compute their content address, which does not depend on where they are kept.

        Raises:
            ValueError: The items are images and not uint8 ``[M, C, H, W]``, or they have no dimension but M.
        """
        if modality == IMAGE and (items.ndim != 4 or items.dtype != np.uint8):
            raise ValueError(f"a pool of images is uint8 [M, C, H, W], not {items.dtype} {list(items.shape)}")
        if items.ndim < 2:
            raise ValueError(f"a pool is [M, ...], not {list(items.shape)}")
        if isinstance(items, np.ndarray):
            return cls(items, array_digest(items), modality)
        return cls(items, chunked_digest(items.shape, items.dtype, chunks(items)), modality)


def chunks(items: ItemStore, size: int = 256) -> Iterator[Items]:
    """Yield the items in order, ``size`` at a time, or fewer if they are large.

    Example:
        >>> [len(part) for part in chunks(np.zeros((5, 1, 4, 4), np.uint8), size=2)]
        [2, 2, 1]
    """
    bytes_each = items.dtype.itemsize * int(np.prod(items.shape[1:]))
    size = max(1, min(size, _CHUNK_BYTES // max(1, bytes_each)))
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass(frozen=True, eq=False)
class Examples:
    """Items with targets. Immutable: every cut or relabelling returns a new set over the same pool.

    Attributes:
        pool: The items that ``rows`` refers to.
        rows: int64 ``[N]``, the row of the pool that holds the item of each example.
        targets: N targets, such as :class:`~distillab.data.targets.Labels`.
        classes: Class names, in label order.
        ids: int64 ``[N]``, the identity of each example: kept by every factor, unique within a dataset.
        groups: Optional int64 ``[N]`` in ``[0, len(group_names))``.
        group_names: Names of the groups, in order.
        parents: The coarser class of each class, in label order; empty if there is no hierarchy.
        student_transform: Applied to the inputs of the student alone; a teacher's inputs stay as they are.
        parts: For examples that consist of several items, such as the segments of a recording: int64
            ``[N, K]``, the rows of the items of each, -1 after the last; ``rows`` has the first ones.
            Networks are given one item at a time, and an example has the mean of their logits.
        wholes: For examples that are parts of something, such as a recording: int64 ``[N]``, its number.
            Parts of one whole stay on one side of every split, and are no independent test examples.

    Raises:
        ValueError: Arrays of different lengths, or targets of another number of classes.

    Example:
        >>> images = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("cat", "dog"))
        >>> images.select(images.labels == 1).ids
        array([1, 2])
        >>> images.counts
        array([1, 2])
    """

    pool: Pool
    rows: Indices
    targets: Targets
    classes: tuple[str, ...]
    ids: Indices
    groups: Indices | None = None
    group_names: tuple[str, ...] = field(default=())
    parents: tuple[str, ...] = field(default=())
    student_transform: StudentTransform | None = None
    parts: Indices | None = None
    wholes: Indices | None = None

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.targets) == len(self.ids):
            raise ValueError("rows, targets and ids of examples must be equally long")
        if self.targets.classes != len(self.classes):
            raise ValueError(f"targets of {self.targets.classes} classes, but {len(self.classes)} names")
        if self.parts is not None and not np.array_equal(self.parts[:, 0], self.rows):
            raise ValueError("the first part of an example is its row")
        if self.parents and len(self.parents) != len(self.classes):
            raise ValueError("examples with parents have one for every class")

    @classmethod
    def of(
        cls, items: Items, targets: Any, classes: tuple[str, ...], *, first_id: int = 0, modality: str = IMAGE
    ) -> Examples:
        """Return examples of all ``items`` (``[N, ...]``), with ids counted from ``first_id``.

        Args:
            items: uint8 ``[N, C, H, W]`` for images.
            targets: :class:`Targets`, or int64 ``[N]`` for :class:`Labels`.
            classes: Class names, in label order.
            first_id: The id of the first example.
            modality: Name of the modality of the items.
        """
        rows = np.arange(len(items), dtype=np.int64)
        if not isinstance(targets, Targets):
            targets = Labels(np.asarray(targets, dtype=np.int64), len(classes))
        return cls(Pool.of(items, modality=modality), rows, targets, classes, rows + first_id)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def modality(self) -> str:
        """Name of the modality of the items."""
        return self.pool.modality

    @property
    def shape(self) -> ItemShape:
        """Shape of one item: channels, height, width."""
        _, channels, height, width = self.pool.items.shape
        return channels, height, width

    @property
    def student_shape(self) -> ItemShape:
        """Shape of one item after the transform of the student: channels, height, width."""
        if self.student_transform is None:
            return self.shape
        return self.student_transform.output_shape(self.shape)

    @property
    def labels(self) -> Indices:
        """The label of each example, int64 ``[N]``.

        Raises:
            TypeError: The targets are not labels.
        """
        if not isinstance(self.targets, Labels):
            raise TypeError(f"the targets of these examples are {self.targets.kind}, not labels")
        return self.targets.values

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each example is labelled, bool ``[N]``."""
        return self.targets.labelled

    @property
    def counts(self) -> Indices:
        """Number of examples per class, int64 ``[len(classes)]``."""
        return self.targets.counts

    def items(self, positions: Indices) -> Items:
        """Return the items at ``positions`` of this set (int64), ``[len(positions), ...]``."""
        return np.asarray(self.pool.items[self.rows[positions]])

    def pixels(self, positions: Indices) -> Pixels:
        """Return the images at ``positions`` of this set (int64), uint8 ``[len(positions), C, H, W]``.

        Raises:
            TypeError: The items are not images.
        """
        if self.modality != IMAGE:
            raise TypeError(f"these examples are no images: their modality is {self.modality}")
        return self.items(positions)

    @property
    def images(self) -> Pixels:
        """All images of this set, uint8 ``[N, C, H, W]``: a copy; read batches by :meth:`pixels`."""
        return self.pixels(np.arange(len(self)))

    @cached_property
    def input_digest(self) -> str:
        """Content address of the items alone, in order: equal for sets that differ only in their targets."""
        addresses = [self.pool.digest, array_digest(self.rows, self.ids)]
        if self.modality != IMAGE:
            addresses.append(self.modality)
        if self.parts is not None:
            addresses.append(array_digest(self.parts))
        return spec_id(addresses)

    @cached_property
    def labelled_digest(self) -> str:
        """Content address of which examples are labelled, in order; "" if all are."""
        return "" if self.labelled.all() else array_digest(self.labelled)

    @cached_property
    def digest(self) -> str:
        """Content address of items, targets and classes, in order."""
        parts: list[Any] = [self.input_digest, self.targets.digest, list(self.classes)]
        if self.groups is not None:
            parts += [array_digest(self.groups), list(self.group_names)]
        if self.student_transform is not None:
            parts.append({"lens": [self.student_transform.side, self.student_transform.back]})
        return spec_id(parts)

    def select(self, positions: Any) -> Examples:
        """Return the examples at ``positions`` (int64 or a bool mask), in that order."""
        chosen = np.asarray(positions)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            rows=self.rows[chosen],
            targets=self.targets.take(chosen),
            ids=self.ids[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            parts=None if self.parts is None else self.parts[chosen],
            wholes=None if self.wholes is None else self.wholes[chosen],
        )

    def each_part(self) -> tuple[Examples, Indices]:
        """Return one example per item, and the position of the example that each is a part of, int64 ``[M]``.

        Examples of one item each are returned as they are.

        Example:
            >>> pool = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("cat", "dog"))
            >>> two = replace(pool.select([0, 2]), parts=np.array([[0, 1], [2, -1]]))
            >>> items, owners = two.each_part()
            >>> items.rows, owners
            (array([0, 1, 2]), array([0, 0, 1]))
        """
        if self.parts is None:
            return self, np.arange(len(self), dtype=np.int64)
        owners, columns = np.nonzero(self.parts >= 0)
        flat = replace(self, parts=None).select(owners)
        return replace(flat, rows=self.parts[owners, columns]), owners.astype(np.int64)

    def joined(self) -> Examples:
        """Return examples that consist of the items of all parts of one whole.

        Each has the target, id and group of its first part. Examples that are no parts are returned as they
        are.

        Example:
            >>> pool = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("cat", "dog"))
            >>> replace(pool, wholes=np.array([7, 5, 5])).joined().parts
            array([[ 0, -1],
                   [ 1,  2]])
        """
        if self.wholes is None:
            return self
        _, first, numbers = np.unique(self.wholes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.argsort(order)[numbers]
        column = np.zeros(len(self), dtype=np.int64)
        seen = np.zeros(len(first), dtype=np.int64)
        for position, whole in enumerate(place):
            column[position] = seen[whole]
            seen[whole] += 1
        parts = np.full((len(first), int(seen.max(initial=1))), -1, dtype=np.int64)
        parts[place, column] = self.rows
        return replace(self.select(first[order]), parts=parts, wholes=None)

    def relabel(self, values: Any) -> Examples:
        """Return the same examples with other targets of the same kind: int64 ``[N]`` for labels."""
        return replace(self, targets=self.targets.with_values(values))

    def renumbered(self, first_id: int) -> Examples:
        """Return the same examples with their ids increased by ``first_id``."""
        return replace(self, ids=self.ids + first_id)

    def unlabelled_like(self, others: Examples) -> Examples:
        """Return the same examples without labels, with the classes and the kind of targets of ``others``."""
        return replace(
            self, targets=others.targets.unknown(len(self)), classes=others.classes, parents=others.parents
        )

    def of_classes(self, kept: Any) -> Examples:
        """Return the examples of some classes, which become classes 0, 1, ... in the order given.

        Examples of another class are left out, those without a label stay. Where an example can have several
        labels, all examples stay and lose the labels that are not kept.

        Args:
            kept: int64, the classes to keep, by their present labels.
        """
        chosen = np.asarray(kept, dtype=np.int64)
        cut = self.select(self.targets.belong_to(chosen))
        return replace(
            cut,
            targets=cut.targets.of_classes(chosen),
            classes=tuple(self.classes[c] for c in chosen),
            parents=tuple(self.parents[c] for c in chosen) if self.parents else (),
        )

    def with_parents_as_classes(self) -> Examples:
        """Return the same examples labelled by the coarser classes, in the order of their first mention."""
        names = tuple(dict.fromkeys(self.parents))
        coarse = np.array([names.index(parent) for parent in self.parents], dtype=np.int64)
        return replace(self, targets=self.targets.merged(coarse, len(names)), classes=names, parents=())
