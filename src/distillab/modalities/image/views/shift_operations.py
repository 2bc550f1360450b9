"""Crop and flip as steps of a chain: the very shifts and mirrors that ``crop_flip`` draws."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.image.views.operation import Operation, operation
from distillab.modalities.image.views.shifts import Shifts


def usual_pad(resolution: int) -> int:
    """An eighth of the side: the usual 4 pixels at 32."""
    return max(1, resolution // 8)


@operation("crop")
class Crop(Operation):
    """A window of the image padded by ``pad`` black pixels (``auto``: an eighth of the side)."""

    pad: Annotated[int, Field(ge=1, strict=True)] | Literal["auto"] = "auto"

    def fitted(self, resolution: int) -> Self:
        """The padding for images of a size."""
        pad = usual_pad(resolution) if self.pad == "auto" else self.pad
        return self.model_copy(update={"pad": pad})

    def render(self, pixels: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Shifted images. Raises ValueError before the padding is fitted."""
        if self.pad == "auto":
            raise ValueError("the padding of a crop depends on the size of the images")
        shifts = Shifts(self.pad, mirror=False)
        return shifts.render(pixels, shifts.draw(ids, epoch, seed))


@operation("flip")
class Flip(Operation):
    """The mirror image, half of the time."""

    def render(self, pixels: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Images, some of them mirrored."""
        shifts = Shifts(0, mirror=True)
        return shifts.render(pixels, shifts.draw(ids, epoch, seed))
