"""Crop and flip as operations of a chain: the same shifts and mirrors that ``crop_flip`` draws."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from distillab.data.examples import IMAGE, Indices, ItemShape
from distillab.modalities.views.operation import Operation, operation
from distillab.modalities.views.shifts import Shifts
from distillab.modalities.views.view_maps import shift_maps


def usual_pad(side: int) -> int:
    """Return an eighth of the side: the usual 4 pixels at 32."""
    return max(1, side // 8)


@operation("crop")
class Crop(Operation):
    """A window of the image padded by ``pad`` black pixels.

    Attributes:
        pad: Pixels on each side; ``auto`` is an eighth of the side.

    Example:
        >>> Crop().fitted((3, 32, 32)).pad
        4
    """

    modality: ClassVar[str | None] = IMAGE
    moves_boxes: ClassVar[bool] = True

    pad: Annotated[int, Field(ge=1, strict=True)] | Literal["auto"] = "auto"

    def fitted(self, shape: ItemShape) -> Self:
        """Return the crop with the padding for images of a shape."""
        pad = usual_pad(shape[1]) if self.pad == "auto" else self.pad
        return self.model_copy(update={"pad": pad})

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return shifted images. Raises ValueError before the padding is fitted."""
        if self.pad == "auto":
            raise ValueError("the padding of a crop depends on the size of the images")
        shifts = Shifts(self.pad, mirror=False)
        return shifts.render(items, shifts.draw(ids, epoch, seed))

    def maps(self, ids: Indices, epoch: int, seed: int, shape: ItemShape) -> Tensor:
        """Return where points are in the windows. Raises ValueError before the padding is fitted."""
        if self.pad == "auto":
            raise ValueError("the padding of a crop depends on the size of the images")
        return shift_maps(Shifts(self.pad, mirror=False).draw(ids, epoch, seed), self.pad, *shape[1:])


@operation("flip")
class Flip(Operation):
    """The mirror image, with probability one half.

    Example:
        >>> import numpy as np, torch
        >>> images = torch.arange(4, dtype=torch.uint8).expand(8, 1, 1, 4)
        >>> Flip().render(images, np.arange(8), epoch=0, seed=0)[:, 0, 0, 0].unique()
        tensor([0, 3], dtype=torch.uint8)
    """

    modality: ClassVar[str | None] = IMAGE
    moves_boxes: ClassVar[bool] = True

    def maps(self, ids: Indices, epoch: int, seed: int, shape: ItemShape) -> Tensor:
        """Return where points are in the images, some of them mirrored."""
        return shift_maps(Shifts(0, mirror=True).draw(ids, epoch, seed), 0, *shape[1:])

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return images, some of them mirrored."""
        shifts = Shifts(0, mirror=True)
        return shifts.render(items, shifts.draw(ids, epoch, seed))
