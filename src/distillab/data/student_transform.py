"""The transform that a student's inputs go through while its teacher's stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StudentTransform:
    """Downsamples images for the student alone; the teacher receives the same views at full size.

    Attributes:
        side: Side in pixels of the downsampled image.
        back: Whether it is upsampled to the old size again: the same compute on less detail.

    Example:
        >>> StudentTransform(8).output_shape((3, 32, 32))
        (3, 8, 8)
        >>> StudentTransform(8, back=True).output_shape((3, 32, 32))
        (3, 32, 32)
    """

    side: int
    back: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Resize float ``[N, C, H, W]`` to ``[N, C, side, side]`` (or back to H, W), antialiased bilinear."""
        shape = images.shape[-2:]
        small = _resized(images, (self.side, self.side))
        return _resized(small, (shape[0], shape[1])) if self.back else small

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return (channels, height, width) of a transformed image, given those of the original."""
        return shape if self.back else (shape[0], self.side, self.side)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    from torch.nn.functional import interpolate  # datasets are opened where torch is not needed

    return interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
