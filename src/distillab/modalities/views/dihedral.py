"""Quarter turns and mirror images of squares: the eight views of the dihedral group.

View ``n`` mirrors left and right if n is at least 4, then turns counterclockwise by n mod 4 quarters. These
are exact index operations: each view holds the pixels of the image in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.data.examples import IMAGE, Indices, ItemShape
from distillab.data.randomness import random_bits
from distillab.errors import RequestError
from distillab.modalities.views.layout import to_channels_last
from distillab.modalities.views.operation import Operation, operation
from distillab.modalities.views.shifts import ViewParameters
from distillab.modalities.views.view_maps import shift_maps

TURNS = 4
ORDER = 2 * TURNS  # of the group
SYMMETRIES = frozenset({"none", "flip", "dihedral"})
"""Kinds of views that are all in the orbit of an image."""


def require_square(height: int, width: int, where: str) -> None:
    """Raise RequestError if an image has no view by a quarter turn."""
    if height != width:
        raise RequestError(
            f"quarter turns need square images, and these are {height}x{width}",
            where=where,
            allowed="a square `resolution` of the data, or views that do not turn",
        )


def dihedral_view(items: Tensor, number: int) -> Tensor:
    """Return one view of each item, ``[..., H, W]`` with H = W to the same shape.

    Args:
        items: The items, of any dtype.
        number: The number of the view, in [0, 8).

    Example:
        >>> square = torch.tensor([[1, 2], [3, 4]])
        >>> dihedral_view(square, 1).tolist(), dihedral_view(square, 4).tolist()
        ([[2, 4], [1, 3]], [[2, 1], [4, 3]])
    """
    mirrored = items.flip(-1) if number >= TURNS else items
    return mirrored.rot90(number % TURNS, (-2, -1)) if number % TURNS else mirrored


def inverse_view(number: int) -> int:
    """Return the number of the view that undoes a view.

    Example:
        >>> [inverse_view(number) for number in range(8)]
        [0, 3, 2, 1, 4, 5, 6, 7]
    """
    return number if number >= TURNS else -number % TURNS


def composed_views(first: int, then: int) -> int:
    """Return the number of the view that is one view, and then another one of the result.

    Example:
        >>> composed_views(first=1, then=4), composed_views(first=4, then=1)
        (7, 5)
    """
    turns = then % TURNS + (-first if then >= TURNS else first) % TURNS
    return turns % TURNS + TURNS * ((first >= TURNS) != (then >= TURNS))


@dataclass(frozen=True)
class DihedralViews:
    """The eight views of square images, each with a number, like :class:`Shifts`."""

    count: ClassVar[int] = ORDER

    def draw(self, ids: Indices, epoch: int, seed: int) -> ViewParameters:
        """Return the view of each image in an epoch: a pure function of id, epoch and seed."""
        return self.at((random_bits(ids, seed, epoch) >> np.uint64(61)).astype(np.int64))

    def index(self, parameters: ViewParameters) -> Indices:
        """Return the number of each view, int64 ``[N]`` in [0, 8)."""
        number = parameters.turns + TURNS * parameters.flip.long()
        return np.asarray(number.cpu().numpy(), dtype=np.int64)

    def at(self, index: Indices) -> ViewParameters:
        """Return the views with the given numbers, int64 ``[N]``: the inverse of :meth:`index`.

        Raises:
            IndexError: A number is outside [0, 8).
        """
        number: npt.NDArray[Any] = np.asarray(index)
        if len(number) and not 0 <= number.min() <= number.max() < ORDER:
            raise IndexError(f"these views are numbered from 0 to {ORDER - 1}")
        still = torch.zeros(len(number), dtype=torch.int64)
        turns, flip = torch.from_numpy(number % TURNS), torch.from_numpy(number >= TURNS)
        return ViewParameters(still, still, flip, turns)

    def render(self, items: Tensor, parameters: ViewParameters) -> Tensor:
        """Return the views of a batch, ``items`` [N, C, H, W], in the same shape, dtype and device.

        Raises:
            RequestError: The items are not square.
        """
        require_square(items.shape[2], items.shape[3], "views: dihedral")
        numbers, views = torch.from_numpy(self.index(parameters)), torch.empty_like(items)
        for number in np.unique(numbers.numpy()).tolist():
            here = (numbers == number).nonzero()[:, 0].to(items.device)
            views[here] = dihedral_view(items[here], number)
        return to_channels_last(views)


@operation("dihedral")
class Dihedral(Operation):
    """One of the four quarter turns of the image or of its mirror image, each with the same probability.

    For images without a preferred direction, such as those from above. Alone, as ``views: dihedral``, the
    eight views have numbers, so that outputs of teachers are stored once for each.

    Example:
        >>> images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2).expand(64, 1, 2, 2)
        >>> len(Dihedral().render(images, np.arange(64), epoch=0, seed=0).flatten(1).unique(dim=0))
        8
    """

    modality: ClassVar[str | None] = IMAGE
    moves_boxes: ClassVar[bool] = True

    def maps(self, ids: Indices, epoch: int, seed: int, shape: ItemShape) -> Tensor:
        """Return where points are in the images, turned and mirrored."""
        return shift_maps(DihedralViews().draw(ids, epoch, seed), 0, *shape[1:])

    def fitted(self, shape: ItemShape) -> Self:
        """Return the operation. Raises RequestError if images of this shape are not square."""
        require_square(shape[1], shape[2], "views: dihedral")
        return self

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return images, turned and mirrored."""
        views = DihedralViews()
        return views.render(items, views.draw(ids, epoch, seed))
