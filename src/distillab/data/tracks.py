"""Tracks: boxes around objects that are followed through the frames of sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from distillab.canonical import array_digest
from distillab.data.boxes import NO_BOX, Boxes, packed_rows
from distillab.data.targets import Targets

NO_IDENTITY = -1
"""The identity of an object of which only the box is known."""
Frames = npt.NDArray[np.int64]


def _one_sequence() -> Frames:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Tracks(Boxes):
    """Boxes of each frame of some sequences, with the identities of their objects.

    Attributes:
        values: float32 ``[N, M, 6]``: the columns of :class:`~distillab.data.boxes.Boxes` and the identity, a
            whole number that no two sequences share, or -1.
        frames: int64 ``[N, 2]``: the sequence of each image, and its place in time. By default all images are
            one sequence in the order given.

    Raises:
        ValueError: The arrays have other shapes, or an identity occurs twice in a frame.

    Example:
        >>> tracks = Tracks.of([[(0, 1, 1, 5, 4, 7)], [(0, 2, 1, 6, 4, 7), (0, 8, 1, 9, 4, 2)]], classes=1)
        >>> tracks.identities, tracks.frames.tolist(), tracks.take(np.array([1])).frames.tolist()
        (8, [[0, 0], [0, 1]], [[0, 1]])
        >>> [positions.tolist() for positions in tracks.sequences()]
        [[0, 1]]
    """

    frames: Frames = field(default_factory=_one_sequence)

    kind: ClassVar[str] = "tracks"
    columns: ClassVar[int] = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.frames) and len(self):
            in_order = np.stack([np.zeros(len(self)), np.arange(len(self))], axis=1).astype(np.int64)
            object.__setattr__(self, "frames", in_order)
        if self.frames.shape != (len(self), 2):
            raise ValueError(f"the frames of {len(self)} images are [{len(self)}, 2]")
        for values in self.values:
            known = values[(values[:, 0] != NO_BOX) & (values[:, 5] != NO_IDENTITY), 5]
            if len(np.unique(known)) < len(known):
                raise ValueError("an identity occurs twice in a frame")

    @classmethod
    def of(
        cls, images: Sequence[Sequence[Sequence[float]]], classes: int, frames: Frames | None = None
    ) -> Self:
        """Return tracks from a list of (class, left, top, right, bottom, identity) per image."""
        values = packed_rows(images, cls.columns)
        return cls(values, classes) if frames is None else cls(values, classes, frames)

    @property
    def plain(self) -> Boxes:
        """The same boxes without identities."""
        return Boxes(np.ascontiguousarray(self.values[..., : Boxes.columns]), self.classes)

    @property
    def identities(self) -> int:
        """One more than the largest identity; 0 without any."""
        return int(self.values[..., 5][self.values[..., 0] != NO_BOX].max(initial=NO_IDENTITY)) + 1

    def sequences(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the positions of the images of each sequence, in the order of time."""
        for sequence in np.unique(self.frames[:, 0]):
            positions = np.flatnonzero(self.frames[:, 0] == sequence)
            yield positions[np.argsort(self.frames[positions, 1], kind="stable")]

    def take(self, positions: npt.NDArray[np.int64]) -> Self:
        """Return the tracks at ``positions`` (int64), in that order."""
        return replace(self, values=self.values[positions], frames=self.frames[positions])

    def with_values(self, values: Any, classes: int | None = None) -> Self:
        """Return the same frames with other boxes."""
        given = np.asarray(values, dtype=self.values.dtype)
        return replace(self, values=given, classes=classes or self.classes)

    def joined(self, others: Targets) -> Self:
        """Return these tracks followed by ``others``, whose sequences keep their numbers.

        Raises:
            ValueError: The others are of another kind or have another number of classes.
        """
        followed = super().joined(others)
        assert isinstance(others, Tracks)  # joined before
        return replace(followed, frames=np.concatenate([self.frames, others.frames]))

    @cached_property
    def digest(self) -> str:
        """Content address of boxes, identities and frames, in order."""
        return array_digest(self.values, self.frames)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that :meth:`from_arrays` reads back."""
        return super().arrays() | {"frames": self.frames}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], classes: int) -> Self:
        """Return the tracks of some arrays."""
        return cls(arrays["labels"], classes, arrays["frames"])
