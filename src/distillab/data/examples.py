"""ImageSet: labelled images that are cut and relabelled without copying a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distillab.canonical import array_digest, chunked_digest, spec_id
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import UNLABELLED

Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


CHUNK_BYTES = 2**26  # that images take which are looked at together


class PixelStore(Protocol):
    """What serves as the pixels of a pool: an array, or what looks like one and makes images when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(M, C, H, W)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""

    @property
    def ndim(self) -> int:
        """4."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Pixels:
        """The pixels at ``rows``, an int64 array or a slice."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The pixels that image sets point into: uint8 ``[M, C, H, W]``, in memory or memory-mapped.

    ``digest`` is the content address of the pixels.
    """

    pixels: PixelStore
    digest: str

    @classmethod
    def of(cls, pixels: PixelStore) -> Pool:
        """Wrap pixels and compute their content address, which is the same wherever they are kept."""
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise ValueError(f"a pool is uint8 [M, C, H, W], not {pixels.dtype} {list(pixels.shape)}")
        if isinstance(pixels, np.ndarray):
            return cls(pixels, array_digest(pixels))
        return cls(pixels, chunked_digest(pixels.shape, pixels.dtype, chunks(pixels)))


def chunks(pixels: PixelStore, size: int = 256) -> Iterator[Pixels]:
    """The images in order, ``size`` at a time, or fewer if they are large."""
    size = max(1, min(size, CHUNK_BYTES // max(1, int(np.prod(pixels.shape[1:])))))
    return (pixels[start : start + size] for start in range(0, len(pixels), size))


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images. Immutable: every cut or relabelling returns a new set over the same pool.

    Attributes:
        pool: where the pixels are.
        rows: int64 ``[N]``, the row of ``pool`` that holds each image.
        labels: int64 ``[N]`` in ``[0, len(classes))``, or :data:`UNLABELLED`.
        classes: class names, in label order.
        ids: int64 ``[N]``, the name of each image; it survives every factor and is unique in a dataset.
        groups: optional int64 ``[N]`` in ``[0, len(group_names))``.
        group_names: names of the groups, in order.
        parents: the coarser class that each class belongs to, in label order; empty if nobody says so.
        lens: what the student's images go through; a teacher sees them without.
    """

    pool: Pool
    rows: Indices
    labels: Indices
    classes: tuple[str, ...]
    ids: Indices
    groups: Indices | None = None
    group_names: tuple[str, ...] = field(default=())
    parents: tuple[str, ...] = field(default=())
    student_transform: StudentTransform | None = None

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.labels) == len(self.ids):
            raise ValueError("rows, labels and ids of an ImageSet must be equally long")
        if len(self.labels) and not UNLABELLED <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError("a label of this ImageSet has no class")
        if self.parents and len(self.parents) != len(self.classes):
            raise ValueError("an ImageSet with parents has one for every class")

    @classmethod
    def of(cls, pixels: Pixels, labels: Any, classes: tuple[str, ...], *, first_id: int = 0) -> Examples:
        """An ImageSet over all of ``pixels`` (uint8 ``[N, C, H, W]``) with ids counted from ``first_id``."""
        n = len(pixels)
        rows = np.arange(n, dtype=np.int64)
        return cls(Pool.of(pixels), rows, np.asarray(labels, dtype=np.int64), classes, rows + first_id)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, channels, height, width = self.pool.pixels.shape
        return channels, height, width

    @property
    def student_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image as a student sees it."""
        return self.shape if self.student_transform is None else self.student_transform.seen(self.shape)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which images have a label, bool ``[N]``."""
        return np.not_equal(self.labels, UNLABELLED)

    @property
    def images(self) -> Pixels:
        """All pixels of this set, uint8 ``[N, C, H, W]`` (a copy; for batches use :meth:`pixels`)."""
        return self.pixels(np.arange(len(self)))

    def pixels(self, positions: Indices) -> Pixels:
        """Pixels of the images at ``positions`` of this set, uint8 ``[len(positions), C, H, W]``."""
        return np.asarray(self.pool.pixels[self.rows[positions]])

    @cached_property
    def counts(self) -> Indices:
        """Labelled images a class, int64 ``[len(classes)]``."""
        return np.bincount(self.labels[self.labelled], minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def image_digest(self) -> str:
        """Content address of the images alone, in order: equal for sets that differ only in labels."""
        return spec_id([self.pool.digest, array_digest(self.rows, self.ids)])

    @cached_property
    def digest(self) -> str:
        """Content address of images, labels and classes, in order."""
        parts: list[Any] = [self.image_digest, array_digest(self.labels), list(self.classes)]
        if self.groups is not None:
            parts += [array_digest(self.groups), list(self.group_names)]
        if self.student_transform is not None:
            parts.append({"lens": [self.student_transform.side, self.student_transform.back]})
        return spec_id(parts)

    def select(self, positions: Any) -> Examples:
        """The images at ``positions`` (int64 or bool mask), in that order."""
        chosen = np.asarray(positions)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            ids=self.ids[chosen],
            groups=None if self.groups is None else self.groups[chosen],
        )

    def relabel(self, labels: Any) -> Examples:
        """The same images with other labels, int64 ``[N]``."""
        return replace(self, labels=np.asarray(labels, dtype=np.int64))

    def of_classes(self, kept: Any) -> Examples:
        """The images of some classes (int64, their labels here), which become classes 0, 1, ... in that
        order. Images without a label stay."""
        chosen = np.asarray(kept, dtype=np.int64)
        new = np.full(len(self.classes) + 1, UNLABELLED, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        stay = ~self.labelled | (new[self.labels] != UNLABELLED)
        cut = self.select(stay)
        return replace(
            cut,
            labels=new[cut.labels],  # the label of none, -1, reads the last entry, which is -1 again
            classes=tuple(self.classes[c] for c in chosen),
            parents=tuple(self.parents[c] for c in chosen) if self.parents else (),
        )

    def with_parents_as_classes(self) -> Examples:
        """The same images labelled by the coarser class of theirs, in order of first mention."""
        names = tuple(dict.fromkeys(self.parents))
        coarse = np.array([names.index(parent) for parent in self.parents] + [UNLABELLED], dtype=np.int64)
        return replace(self, labels=coarse[self.labels], classes=names, parents=())
