"""Random resized crops: a part of the image, of random size and proportions, resized to the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from distillab.data.examples import IMAGE, Indices, ItemShape
from distillab.data.randomness import random_bits
from distillab.modalities.views.operation import Operation, operation, to_bytes

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Boxes tried before the largest one in the center is taken.
ATTEMPTS = 10


@dataclass(frozen=True)
class CropWindows:
    """Parts of images, in pixels.

    Attributes:
        top: int64 ``[N]``, the upper border.
        left: int64 ``[N]``, the left border.
        height: int64 ``[N]``.
        width: int64 ``[N]``.
    """

    top: Indices
    left: Indices
    height: Indices
    width: Indices


@operation("random_resized_crop")
class RandomResizedCrop(Operation):
    """A random box of the image, resized bilinearly to the size of the image.

    Boxes that do not fit are drawn again, ten times at most; then the largest box in the center is taken.

    Paper: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.

    Attributes:
        scale: Bounds of the share of the image's area.
        ratio: Bounds of width over height, which is uniform in its logarithm.

    Example:
        >>> RandomResizedCrop(scale=(0.5, 1.0)).label
        'random_resized_crop(scale=(0.5, 1.0))'
    """

    modality: ClassVar[str | None] = IMAGE
    moves_boxes: ClassVar[bool] = True

    scale: tuple[Positive, Positive] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)

    @field_validator("scale", "ratio")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError("write the lower bound first")
        return bounds

    @field_validator("scale")
    @classmethod
    def _within_image(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[1] > 1:
            raise ValueError("scale is a share of the image's area, at most 1")
        return scale

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return the boxes at the size of the images."""
        _, _, height, width = items.shape
        return resized(items, self.boxes(ids, epoch, seed, height, width))

    def maps(self, ids: Indices, epoch: int, seed: int, shape: ItemShape) -> Tensor:
        """Return where points are in the parts, resized to the whole."""
        _, height, width = shape
        part = self.boxes(ids, epoch, seed, height, width)
        maps = np.zeros((len(ids), 2, 3))
        for axis, start, length, size in (
            (0, part.left, part.width, width),
            (1, part.top, part.height, height),
        ):
            maps[:, axis, axis] = size / length
            maps[:, axis, 2] = -start * size / length
        return torch.from_numpy(maps.astype(np.float32))

    def boxes(self, ids: Indices, epoch: int, seed: int, height: int, width: int) -> CropWindows:
        """Return the box of each image in an epoch."""
        state = self.bits("box", ids, epoch, seed).astype(np.int64)
        drawn = random_bits(state[:, None] + np.arange(2 * ATTEMPTS + 2)) / 2.0**64
        scale, log_ratio = np.array(self.scale), np.log(self.ratio)
        area = height * width * (scale[0] + (scale[1] - scale[0]) * drawn[:, :ATTEMPTS])
        ratio = np.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * drawn[:, ATTEMPTS : 2 * ATTEMPTS])
        wide = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        high = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        first = (np.arange(len(ids)), fits.argmax(axis=1))
        # The whole image, narrowed or flattened to the nearest ratio allowed.
        nearest = np.clip(width / height, *self.ratio)
        most_wide = min(width, max(1, round(height * nearest)))
        most_high = min(height, max(1, round(width / nearest)))
        found = fits.any(axis=1)
        wide = np.where(found, wide[first], most_wide)
        high = np.where(found, high[first], most_high)
        left = np.where(found, drawn[:, -2] * (width - wide + 1), (width - wide) // 2).astype(np.int64)
        top = np.where(found, drawn[:, -1] * (height - high + 1), (height - high) // 2).astype(np.int64)
        return CropWindows(np.minimum(top, height - high), np.minimum(left, width - wide), high, wide)


def resized(pixels: Tensor, boxes: CropWindows) -> Tensor:
    """Resize boxes to the size of the images, bilinear within the box: uint8 [N, C, H, W] to that shape."""
    _, _, height, width = pixels.shape
    x = _sources(boxes.left, boxes.width, width, pixels.device)
    y = _sources(boxes.top, boxes.height, height, pixels.device)
    grid = torch.stack((x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)), dim=-1)
    return to_bytes(
        F.grid_sample(pixels.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    )


def _sources(start: Indices, length: Indices, size: int, device: torch.device) -> Tensor:
    """Return the origin of the rows or columns of the result, float32 ``[N, size]``, the image being -1 to 1.

    It never lies beyond the centers of the outermost pixels of the box: nothing outside the box shows.
    """
    at = start[:, None] + (np.arange(size) + 0.5) * (length[:, None] / size)
    inside = np.clip(at, start[:, None] + 0.5, (start + length)[:, None] - 0.5)
    return torch.from_numpy((2 * inside / size - 1).astype(np.float32)).to(device)
