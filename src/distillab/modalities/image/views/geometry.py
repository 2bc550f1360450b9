"""Changes of geometry: images sampled at the coordinates of a map, black outside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Amounts = npt.NDArray[np.float64]
"""float64 ``[N]``, one amount per image."""


def affine(pixels: Tensor, matrices: npt.NDArray[np.float64]) -> Tensor:
    """Transform images by affine maps, to the nearest pixel: uint8 [N, C, H, W] to the same shape.

    Args:
        pixels: The images.
        matrices: float64 ``[N, 2, 3]``, from a pixel of the result to its origin: (x, y, 1), in pixels from
            the center of the image, to (x, y).
    """
    _, _, height, width = pixels.shape
    x = torch.arange(width, device=pixels.device) - (width - 1) / 2
    y = torch.arange(height, device=pixels.device) - (height - 1) / 2
    sizes = np.array([width, height])[:, None]
    m = torch.from_numpy((matrices * 2 / sizes).astype(np.float32)).to(pixels.device)
    grid = (
        m[:, None, None, :, 0] * x[:, None]
        + m[:, None, None, :, 1] * y[:, None, None]
        + m[:, None, None, :, 2]
    )
    moved = F.grid_sample(pixels.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved.to(torch.uint8)


def shear_x(slope: Amounts, height: int) -> npt.NDArray[np.float64]:
    """Move rows to the left in proportion to their distance from the top: ``[N]`` to ``[N, 2, 3]``."""
    matrices = _identity(len(slope))
    matrices[:, 0, 1], matrices[:, 0, 2] = slope, slope * height / 2
    return matrices


def shear_y(slope: Amounts, width: int) -> npt.NDArray[np.float64]:
    """Move columns up in proportion to their distance from the left: ``[N]`` to ``[N, 2, 3]``."""
    matrices = _identity(len(slope))
    matrices[:, 1, 0], matrices[:, 1, 2] = slope, slope * width / 2
    return matrices


def translation(right: Amounts, down: Amounts) -> npt.NDArray[np.float64]:
    """Move by whole pixels, fractions cut off: ``[N]`` each, to ``[N, 2, 3]``."""
    matrices = _identity(len(right))
    matrices[:, 0, 2], matrices[:, 1, 2] = -np.trunc(right), -np.trunc(down)
    return matrices


def rotation(degrees: Amounts) -> npt.NDArray[np.float64]:
    """Turn about the center, counterclockwise: ``[N]`` to ``[N, 2, 3]``."""
    matrices, angle = _identity(len(degrees)), np.radians(degrees)
    matrices[:, 0, 0], matrices[:, 0, 1] = np.cos(angle), -np.sin(angle)
    matrices[:, 1, 0], matrices[:, 1, 1] = np.sin(angle), np.cos(angle)
    return matrices


def _identity(n: int) -> npt.NDArray[np.float64]:
    return np.tile(np.eye(2, 3), (n, 1, 1))
