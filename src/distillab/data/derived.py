"""Pixels that are made from others when they are asked for: changed images, and several pools as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from distillab.canonical import spec_id
from distillab.data.examples import Examples, Indices, Pixels, PixelStore, Pool

# What is slow to make is made once and kept, unless all of it would take more bytes than this.
KEPT_BYTES = 2**30
# Pools whose images are kept, by digest: a condition that is made anew finds what another had made.
_ALIVE: WeakValueDictionary[str, DerivedPixels] = WeakValueDictionary()


class PixelOperation(Protocol):
    """A change of pixels that depends on nothing but the image and its row in the pool."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that decides what comes out, JSON-able: it is part of content addresses."""

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        """(channels, height, width) of what comes out."""

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        """Changed images, uint8 ``[N, C', H', W']``; ``rows`` int64 ``[N]`` are those of the pool."""


@dataclass(frozen=True)
class Unchanged:
    """Leaves images as they are: the first of several variants."""

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"operation": "unchanged"}

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        return pixels


@dataclass(frozen=True, eq=False)
class DerivedPixels:
    """Variants of the images of a pool, each made when it is asked for.

    Row ``v * M + r`` is image r of M as operation v makes it. ``keep`` is for operations that take long:
    what was made once in this process is kept in memory, within :data:`KEPT_BYTES`.
    """

    base: PixelStore
    operations: tuple[PixelOperation, ...]
    keep: bool = False
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __post_init__(self) -> None:
        shapes = {operation.shape(self._image_shape) for operation in self.operations}
        if len(shapes) != 1:
            raise ValueError(f"variants of a pool must be equally large, not {sorted(shapes)}")
        object.__setattr__(self, "shape", (len(self.operations) * len(self.base), *shapes.pop()))
        if self.keep and int(np.prod(self.shape)) <= KEPT_BYTES:
            # Untouched pages of an empty array take no memory.
            self._kept.update(pixels=np.empty(self.shape, np.uint8), made=np.zeros(len(self), bool))

    shape: tuple[int, ...] = field(init=False)

    @property
    def _image_shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.base.shape
        return channels, height, width

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Pixels:
        """The pixels at ``rows``: an int64 array or a slice."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        if not self._kept:
            return self._make(wanted)
        missing = np.unique(wanted[~self._kept["made"][wanted]])
        if len(missing):
            self._kept["pixels"][missing] = self._make(missing)
            self._kept["made"][missing] = True
        return np.asarray(self._kept["pixels"][wanted])

    def _make(self, rows: Indices) -> Pixels:
        variants, below = np.divmod(rows, len(self.base))
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for variant in np.unique(variants):
            here = variants == variant
            out[here] = self.operations[variant](np.asarray(self.base[below[here]]), below[here])
        return out


@dataclass(frozen=True, eq=False)
class StackedPixels:
    """Several pools as one, below each other. Their images must be equally large."""

    parts: tuple[PixelStore, ...]

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Pixels:
        """The pixels at ``rows``: an int64 array or a slice."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        owner = np.searchsorted(starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for number in np.unique(owner):
            here = owner == number
            out[here] = self.parts[number][wanted[here] - starts[number]]
        return out


def derived(
    images: Examples,
    operations: Sequence[PixelOperation],
    variants: Indices | int = 0,
    *,
    keep: bool = False,
) -> Examples:
    """The same images (ids, labels, groups) over variants of their pool, image i as operation
    ``variants[i]`` makes it. No pixel is computed here.

    Conditions that name the same operations share a pool, and with it what teachers said about its images.
    """
    facts = [dict(operation.facts) for operation in operations]
    digest = spec_id({"derived": images.pool.digest, "operations": facts})
    pixels = _ALIVE.get(digest) if keep else None
    if pixels is None:
        pixels = DerivedPixels(images.pool.pixels, tuple(operations), keep)
        if keep:
            _ALIVE[digest] = pixels
    return replace(images, pool=Pool(pixels, digest), rows=images.rows + len(images.pool.pixels) * variants)


def stacked(first: Examples, second: Examples) -> Examples:
    """The images of two sets, those of the first before those of the second, with the classes of the first.

    Sets over one pool share it. Groups are kept if both have the same.

    Raises:
        ValueError: the images are not equally large, or an id stands in both.
    """
    if first.shape != second.shape:
        raise ValueError(f"images of {first.shape} and {second.shape} cannot stand in one set")
    if np.isin(second.ids, first.ids).any():
        raise ValueError("an image id stands in both sets")
    pool, offset = first.pool, 0
    if second.pool.digest != first.pool.digest:
        offset = len(first.pool.pixels)
        pool = Pool(
            StackedPixels((first.pool.pixels, second.pool.pixels)),
            spec_id({"stacked": [first.pool.digest, second.pool.digest]}),
        )
    groups = None
    if first.groups is not None and second.groups is not None and first.group_names == second.group_names:
        groups = np.concatenate([first.groups, second.groups])
    return replace(
        first,
        pool=pool,
        rows=np.concatenate([first.rows, second.rows + offset]),
        labels=np.concatenate([first.labels, second.labels]),
        ids=np.concatenate([first.ids, second.ids]),
        groups=groups,
        group_names=() if groups is None else first.group_names,
    )
