"""What a student sees of an image whose teacher sees it whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StudentTransform:
    """Makes images coarser for the student alone: the teacher is shown the same views as they are.

    Attributes:
        side: pixels a side that are left of an image.
        back: whether they are spread over the old size again: the same compute on less detail.
    """

    side: int
    back: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Float ``[N, C, H, W]`` to ``[N, C, side, side]`` (or H, W again), antialiased bilinear."""
        shape = images.shape[-2:]
        small = _resized(images, (self.side, self.side))
        return _resized(small, (shape[0], shape[1])) if self.back else small

    def seen(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of what the student sees of images of that shape."""
        return shape if self.back else (shape[0], self.side, self.side)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    from torch.nn.functional import interpolate  # image sets are opened where torch is not needed

    return interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
