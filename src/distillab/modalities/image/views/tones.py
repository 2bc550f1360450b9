"""Changes of tone that map every gray level to another one: uint8 [N, C, H, W] to the same shape."""

from __future__ import annotations

import torch
from torch import Tensor

from distillab.modalities.views.operation import to_bytes


def posterize(pixels: Tensor, bits: int) -> Tensor:
    """Keep the ``bits`` most significant bits of each gray level."""
    return pixels & (0xFF << (8 - bits) & 0xFF)


def solarize(pixels: Tensor, threshold: float) -> Tensor:
    """Invert the gray levels from ``threshold`` up."""
    return torch.where(pixels >= threshold, 255 - pixels, pixels)


def autocontrast(pixels: Tensor) -> Tensor:
    """Stretch each channel to the range from 0 to 255. A channel of one level stays."""
    low = pixels.amin(dim=(2, 3), keepdim=True).float()
    span = pixels.amax(dim=(2, 3), keepdim=True).float() - low
    return torch.where(span > 0, to_bytes((pixels.float() - low) * (255 / span.clamp(min=1))), pixels)


def equalize(pixels: Tensor) -> Tensor:
    """Spread the levels of each channel so that all are about equally frequent.

    A level becomes the number of pixels below it, in units of 1/255 of those that are not at the highest
    level, rounded to the nearest: the integer arithmetic of PIL. A channel with fewer than 255 pixels below
    its highest level stays.
    """
    n, channels, height, width = pixels.shape
    planes = pixels.reshape(n * channels, height * width).long()
    first = torch.arange(len(planes), device=pixels.device)[:, None] * 256
    counts = torch.bincount((planes + first).flatten(), minlength=len(planes) * 256).view(-1, 256)
    at_most = counts.cumsum(dim=1)
    highest = counts.gather(1, planes.amax(dim=1, keepdim=True))
    step = (height * width - highest) // 255
    table = ((at_most - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    levels = torch.where(step > 0, table.gather(1, planes), planes)
    return levels.to(torch.uint8).view(pixels.shape)
