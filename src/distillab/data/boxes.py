"""Boxes: any number of objects per image, each a class and a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED, Targets
from distillab.errors import RequestError

NO_BOX = -1
"""The class of a row that holds no box."""
SMALLEST_BOX = 1.0
"""Sides in pixels below which what is left of a box is no object any more."""
Rows = npt.NDArray[np.float32]


def ignored(label: int) -> int:
    """Return the class of a box that is neither to be found nor a mistake to find, such as a crowd.

    Args:
        label: Its class, or its class as a box that counts: the function undoes itself.

    Example:
        >>> ignored(0), ignored(ignored(4))
        (-2, 4)
    """
    return -2 - label


@dataclass(frozen=True, eq=False)
class Boxes(Targets):
    """Boxes around the objects of each image.

    An image without objects is labelled: it is known to have none.

    Attributes:
        values: float32 ``[N, M, 5]``: class, left, top, right and bottom of up to M boxes per image, in
            pixels of the stored image, its left upper corner being (0, 0). The class is in ``[0, classes)``,
            -1 where there is no box, and :func:`ignored` of the class for a box that is not counted. All
            values of an unlabelled image are -1.
        columns: Values per box.

    Raises:
        ValueError: The array has another shape, dtype or class, or a box has no area.

    Example:
        >>> boxes = Boxes.of([[(0, 1, 1, 5, 4), (1, 0, 0, 2, 2)], [], [(1, 3, 3, 9, 9)]], classes=2)
        >>> boxes.values.shape, boxes.counts, boxes.labelled
        ((3, 2, 5), array([1, 2]), array([ True,  True,  True]))
        >>> boxes.take(np.array([2])).values[0, 0].tolist()
        [1.0, 3.0, 3.0, 9.0, 9.0]
    """

    values: Rows

    kind: ClassVar[str] = "boxes"
    complete: ClassVar[bool] = False
    columns: ClassVar[int] = 5

    def __post_init__(self) -> None:
        shape, dtype, columns = self.values.shape, self.values.dtype, self.columns
        if self.values.ndim != 3 or shape[1] < 1 or shape[2] != columns or dtype != np.float32:
            raise ValueError(
                f"{self.kind} are float32 [N, M, {columns}] with M >= 1, not {dtype} {list(shape)}"
            )
        labels = self.values[..., 0]
        if labels.size and not ignored(self.classes - 1) <= labels.min() <= labels.max() < self.classes:
            raise ValueError(f"a box has no class among {self.classes}")
        sides = self.values[..., 3:5] - self.values[..., 1:3]
        if not (sides > 0)[labels != NO_BOX].all():
            raise ValueError("a box has no area")

    @classmethod
    def of(cls, images: Sequence[Sequence[Sequence[float]]], classes: int) -> Self:
        """Return boxes from a list of (class, left, top, right, bottom) per image."""
        return cls(packed_rows(images, cls.columns), classes)

    @property
    def plain(self) -> Boxes:
        """The same boxes without anything else that is known of them."""
        return self

    def joined(self, others: Targets) -> Self:
        """Return these boxes followed by ``others``, with as many rows per image as either needs.

        Raises:
            ValueError: The others are of another kind or have another number of classes.
        """
        rows = max(self.values.shape[1], others.values.shape[1] if isinstance(others, Boxes) else 0)
        other = others._padded(rows) if isinstance(others, Boxes) else others
        return super(Boxes, self._padded(rows)).joined(other)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether the objects of each image are known, bool ``[N]``."""
        return np.asarray(np.not_equal(self.values, UNLABELLED).any(axis=(1, 2)))

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of images with an object of each class, int64 ``[classes]``."""
        return np.asarray(self.members.sum(axis=0), dtype=np.int64)

    @cached_property
    def objects(self) -> npt.NDArray[np.int64]:
        """Number of objects of each class in all images, int64 ``[classes]``."""
        labels = self.values[..., 0].astype(np.int64)
        return np.bincount(labels[labels >= 0], minlength=self.classes).astype(np.int64)

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """Whether each image is known to have an object of each class, bool ``[N, classes]``."""
        found = np.zeros((len(self), self.classes), dtype=np.bool_)
        for label in range(self.classes):
            found[:, label] = (self.values[..., 0] == label).any(axis=1)
        return found

    def belong_to(self, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return that all images remain, bool ``[N]``: an image need not have any object."""
        return np.ones(len(self), dtype=np.bool_)

    def of_classes(self, kept: npt.NDArray[np.int64]) -> Self:
        """Return the boxes of the classes ``kept``, numbered by position; the others are left out."""
        into = np.full(self.classes, NO_BOX, dtype=np.int64)
        into[kept] = np.arange(len(kept))
        return self._renumbered(into, len(kept))

    def merged(self, into: npt.NDArray[np.int64], classes: int) -> Self:
        """Return the same boxes with coarser classes."""
        return self._renumbered(into, classes)

    def _renumbered(self, into: npt.NDArray[np.int64], classes: int) -> Self:
        """Return boxes with other classes, those of class -1 left out and the others moved to the front."""
        values, labels = self.values.copy(), self.values[..., 0].astype(np.int64)
        is_box, is_ignored = labels != NO_BOX, labels < NO_BOX
        new = into[np.where(is_ignored, -2 - labels, labels).clip(min=0)]
        new = np.where(is_ignored & (new != NO_BOX), -2 - new, new)
        values[..., 0] = np.where(is_box, new, labels)
        gone = is_box & (new == NO_BOX)
        values[gone, 1:] = 0
        order = np.argsort(values[..., 0] == NO_BOX, axis=1, kind="stable")
        moved = np.take_along_axis(values, order[..., None], axis=1)
        return replace(self, values=moved, classes=classes)

    def _padded(self, rows: int) -> Self:
        """Return the same boxes with ``rows`` rows per image; what is added is like an image's last row."""
        more = rows - self.values.shape[1]
        if not more:
            return self
        filler = np.zeros((len(self), more, self.columns), np.float32)
        filler[..., 0] = NO_BOX
        filler[~self.labelled] = UNLABELLED
        return replace(self, values=np.concatenate([self.values, filler], axis=1))


def packed_rows(images: Sequence[Sequence[Sequence[float]]], columns: int) -> Rows:
    """Return the rows of all images in one array, float32 ``[N, M, columns]``, filled up with no boxes.

    Example:
        >>> packed_rows([[], [(0, 1, 1, 5, 4)]], 5)[:, 0].tolist()
        [[-1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 5.0, 4.0]]
    """
    values = np.zeros((len(images), max([1, *map(len, images)]), columns), np.float32)
    values[..., 0] = NO_BOX
    for row, boxes in enumerate(images):
        if boxes:
            values[row, : len(boxes)] = np.asarray(boxes, dtype=np.float32)
    return values


def moved_boxes(boxes: Tensor, maps: Tensor, height: int, width: int) -> Tensor:
    """Return boxes after the geometry of a view, clipped to the image.

    What is left of a box with a side below one pixel is left out. Images without labels stay so.

    Args:
        boxes: The values of :class:`Boxes`, float32 ``[N, M, 5]``; further columns stay as they are.
        maps: float32 ``[N, 2, 3]``, from (x, y, 1) in the image to (x, y) in the view.
        height: Height of the view in pixels.
        width: Its width.

    Example:
        >>> mirror = torch.tensor([[[-1.0, 0.0, 10.0], [0.0, 1.0, 0.0]]])
        >>> moved_boxes(torch.tensor([[[0.0, 1.0, 2.0, 4.0, 6.0]]]), mirror, height=8, width=10)
        tensor([[[0., 6., 2., 9., 6.]]])
    """
    corners = torch.stack([boxes[..., [1, 2]], boxes[..., [3, 4]]], dim=2)  # [N, M, 2, 2]
    maps = maps.to(boxes)
    moved = torch.einsum("nij,nmkj->nmki", maps[:, :, :2], corners) + maps[:, None, None, :, 2]
    low, high = moved.amin(dim=2), moved.amax(dim=2)
    size = torch.tensor([width, height], dtype=boxes.dtype, device=boxes.device)
    low, high = torch.minimum(low.clamp(min=0), size), torch.minimum(high.clamp(min=0), size)
    is_box = boxes[..., 0] != NO_BOX
    left = is_box & ((high - low) >= SMALLEST_BOX).all(dim=2)
    empty = torch.zeros_like(boxes)
    empty[..., 0] = NO_BOX
    found = torch.cat([boxes[..., :1], low, high, boxes[..., 5:]], dim=2)
    return torch.where(left[..., None], found, torch.where(is_box[..., None], empty, boxes))


def refuse_boxes(targets: Targets, what: str) -> None:
    """Raise RequestError if targets are boxes.

    Args:
        targets: The targets of some data.
        what: What does not work with boxes, the beginning of a sentence.

    Example:
        >>> refuse_boxes(Boxes.of([[]], classes=1), "this command")
        Traceback (most recent call last):
        distillab.errors.RequestError: this command does not work with boxes (allowed: ...
    """
    if isinstance(targets, Boxes):
        raise RequestError(
            f"{what} does not work with boxes", allowed="data with labels, or a study with `task: detection`"
        )
