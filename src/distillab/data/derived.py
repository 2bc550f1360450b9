"""Items computed from others on demand: changed items, and several pools as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from distillab.canonical import JsonObject, spec_id
from distillab.data.examples import Examples, Indices, Items, ItemShape, ItemStore, Pool

# Results of slow operations are kept in memory, unless all of them would take more bytes than this.
KEPT_BYTES = 2**30
# Pools whose results are kept, by digest: a condition that is built again reuses what another computed.
_ALIVE: WeakValueDictionary[str, DerivedItems] = WeakValueDictionary()


class ItemOperation(Protocol):
    """A change of items that depends on nothing but the item and its row in the pool."""

    @property
    def facts(self) -> JsonObject:
        """Everything that determines the result, JSON-able: it is part of content addresses."""

    def shape(self, before: ItemShape, /) -> ItemShape:
        """Return the shape of a changed item, given that of the original."""

    def __call__(self, items: Items, rows: Indices, /) -> Items:
        """Return the changed items, of the same dtype; ``rows`` (int64 ``[N]``) are those of the pool."""


@dataclass(frozen=True)
class Unchanged:
    """The identity: the first of several variants.

    Example:
        >>> Unchanged().shape((3, 8, 8))
        (3, 8, 8)
    """

    @property
    def facts(self) -> JsonObject:
        """The name of the operation."""
        return {"operation": "unchanged"}

    def shape(self, before: ItemShape, /) -> ItemShape:
        """Return the shape as it is."""
        return before

    def __call__(self, items: Items, rows: Indices, /) -> Items:
        """Return the items as they are."""
        return items


@dataclass(frozen=True, eq=False)
class _Kept:
    """Results that are kept: items, and which of them were computed."""

    items: Items
    made: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DerivedItems:
    """Variants of the items of a pool, computed on demand.

    Row ``v * M + r`` is item r of M under operation v.

    Attributes:
        base: The original items, ``[M, C, H, W]``.
        operations: One per variant; all give items of the same shape.
        keep: Keep computed items in memory, within :data:`KEPT_BYTES`: for operations that are slow.

    Raises:
        ValueError: The operations give items of different shapes.
    """

    base: ItemStore
    operations: tuple[ItemOperation, ...]
    keep: bool = False
    _kept: _Kept | None = field(default=None, init=False, repr=False)

    ndim = 4

    def __post_init__(self) -> None:
        shapes = {operation.shape(self._item_shape) for operation in self.operations}
        if len(shapes) != 1:
            raise ValueError(f"variants of a pool must be equally large, not {sorted(shapes)}")
        object.__setattr__(self, "shape", (len(self.operations) * len(self.base), *shapes.pop()))
        if self.keep and self.dtype.itemsize * int(np.prod(self.shape)) <= KEPT_BYTES:
            # Untouched pages of an empty array take no memory.
            kept = _Kept(np.empty(self.shape, self.dtype), np.zeros(len(self), bool))
            object.__setattr__(self, "_kept", kept)

    shape: tuple[int, ...] = field(init=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, that of the original items."""
        return self.base.dtype

    @property
    def _item_shape(self) -> ItemShape:
        _, channels, height, width = self.base.shape
        return channels, height, width

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Items:
        """Return the items at ``rows``: an int64 array or a slice."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        if self._kept is None:
            return self._make(wanted)
        missing = np.unique(wanted[~self._kept.made[wanted]])
        if len(missing):
            self._kept.items[missing] = self._make(missing)
            self._kept.made[missing] = True
        return np.asarray(self._kept.items[wanted])

    def _make(self, rows: Indices) -> Items:
        variants, below = np.divmod(rows, len(self.base))
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for variant in np.unique(variants):
            here = variants == variant
            out[here] = self.operations[variant](np.asarray(self.base[below[here]]), below[here])
        return out


@dataclass(frozen=True, eq=False)
class StackedItems:
    """Several pools as one, in order. Their items have the same shape and dtype.

    Attributes:
        parts: The items of each pool.
        first: The first pool itself.
    """

    parts: tuple[ItemStore, ...]
    first: Pool

    @property
    def shape(self) -> tuple[int, ...]:
        """``(M, ...)``, of the M items of all parts."""
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.parts[0].dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.parts[0].ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Items:
        """Return the items at ``rows``: an int64 array or a slice."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        owner = np.searchsorted(starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for number in np.unique(owner):
            here = owner == number
            out[here] = self.parts[number][wanted[here] - starts[number]]
        return out


def derived(
    examples: Examples,
    operations: Sequence[ItemOperation],
    variants: Indices | int = 0,
    *,
    keep: bool = False,
) -> Examples:
    """Return the same examples (ids, targets, groups) over variants of their pool; nothing is computed yet.

    Conditions that name the same operations share a pool, and with it the cached outputs of teachers.

    Args:
        examples: N examples.
        operations: The operation of each variant.
        variants: int64 ``[N]``, the variant of each example, or one for all.
        keep: Keep computed items in memory, see :class:`DerivedItems`.

    Example:
        >>> images = Examples.of(np.zeros((3, 1, 8, 8), np.uint8), [0, 1, 1], ("cat", "dog"))
        >>> derived(images, [Unchanged(), Unchanged()], np.array([0, 1, 1])).rows
        array([0, 4, 5])
    """
    facts = [dict(operation.facts) for operation in operations]
    digest = spec_id({"derived": examples.pool.digest, "operations": facts})
    items = _ALIVE.get(digest) if keep else None
    if items is None:
        items = DerivedItems(examples.pool.items, tuple(operations), keep)
        if keep:
            _ALIVE[digest] = items
    pool = replace(examples.pool, items=items, digest=digest)
    return replace(examples, pool=pool, rows=examples.rows + len(examples.pool.items) * variants)


def stacked(first: Examples, second: Examples) -> Examples:
    """Return the examples of two sets, those of the first before those of the second.

    The result has the classes of the first. Sets over one pool share it. Groups are kept if both sets have
    the same.

    Raises:
        ValueError: The items differ in shape, dtype or modality, the targets in kind, or both sets contain
            the same id.

    Example:
        >>> images = Examples.of(np.zeros((4, 1, 8, 8), np.uint8), [0, 1, 1, 0], ("cat", "dog"))
        >>> stacked(images.select([3]), images.select([0, 1])).ids
        array([3, 0, 1])
    """
    if (first.shape, first.modality) != (second.shape, second.modality):
        raise ValueError(f"items of {first.shape} and {second.shape} cannot stand in one set")
    if np.isin(second.ids, first.ids).any():
        raise ValueError("both sets contain the same id")
    pool, offset = first.pool, 0
    if second.pool.digest != first.pool.digest:
        if first.pool.items.dtype != second.pool.items.dtype:
            raise ValueError("items of different types cannot stand in one set")
        offset = len(first.pool.items)
        pool = Pool(
            StackedItems((first.pool.items, second.pool.items), first.pool),
            spec_id({"stacked": [first.pool.digest, second.pool.digest]}),
            first.modality,
        )
    groups = None
    if first.groups is not None and second.groups is not None and first.group_names == second.group_names:
        groups = np.concatenate([first.groups, second.groups])
    return replace(
        first,
        pool=pool,
        rows=np.concatenate([first.rows, second.rows + offset]),
        targets=first.targets.joined(second.targets),
        ids=np.concatenate([first.ids, second.ids]),
        groups=groups,
        group_names=() if groups is None else first.group_names,
    )


def labelled_alone(examples: Examples) -> Examples:
    """Return the labelled examples, the set itself if all are.

    Where unlabelled examples of another pool were added, the labelled ones are again over their own pool: the
    set, with its content address, is the one to which they were added.

    Example:
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("cat", "dog"))
        >>> others = Examples.of(np.ones((3, 1, 8, 8), np.uint8), [0, 0, 0], ("cat",), first_id=9)
        >>> both = stacked(images, others.unlabelled_like(images))
        >>> len(both), labelled_alone(both).digest == images.digest
        (5, True)
    """
    if examples.labelled.all():
        return examples
    labelled = examples.select(examples.labelled)
    while isinstance(labelled.pool.items, StackedItems):
        first = labelled.pool.items.first
        if (labelled.rows >= len(first.items)).any():
            break
        labelled = replace(labelled, pool=first)
    return labelled
