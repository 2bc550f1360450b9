"""Changes of color, for a batch with one strength per image.

Gray levels are float [N, C, H, W] from 0 to 255, before and after; strengths are ``[N, 1, 1, 1]``. A factor
of 1 changes nothing, 0 takes everything away. Images with other than three channels have no color: their
luminance is the mean of their channels, and saturation and hue leave them as they are.

Every step is one correctly rounded operation: fused ones (lerp, remainder) may round differently in the last
few elements of a batch, and an image must not depend on the other images of its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA_WEIGHTS = (0.2989, 0.587, 0.114)
"""ITU-R BT.601: the contributions of red, green and blue to luminance."""


def luminance(pixels: Tensor) -> Tensor:
    """Return the luminance of each pixel: [N, C, H, W] to [N, 1, H, W]."""
    if pixels.shape[1] != len(LUMA_WEIGHTS):
        return pixels.mean(dim=1, keepdim=True)
    red, green, blue = pixels.unbind(dim=1)
    return (LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue)[:, None]


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move towards black (factor below 1) or away from it."""
    return (pixels * factor).clamp_(0, 255)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move towards the mean luminance of the image, or away from it."""
    gray = luminance(pixels)
    if gray.device.type == "mps":
        gray = gray.cpu()  # it has no float64
    mean = gray.mean(dim=(1, 2, 3), keepdim=True, dtype=torch.float64)
    return _blend(pixels, mean.to(pixels.dtype).to(pixels.device), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move towards the gray image of the same luminance, or away from it."""
    return _blend(pixels, luminance(pixels), factor) if pixels.shape[1] == 3 else pixels


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move towards the image smoothed by a 3x3 kernel, 5 in its center and 1 around it, or away from it.

    The border, where the kernel does not fit, stays.
    """
    if min(pixels.shape[2:]) < 3:
        return pixels
    around = F.avg_pool2d(pixels, 3, stride=1, divisor_override=1)
    inner = pixels[:, :, 1:-1, 1:-1]
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = (around + 4 * inner) / 13
    return _blend(pixels, smooth, factor)


def hue(pixels: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the color circle, at the same value and saturation of the HSV model."""
    if pixels.shape[1] != 3:
        return pixels
    red, green, blue = pixels.unbind(dim=1)
    value, least = pixels.amax(dim=1), pixels.amin(dim=1)
    chroma = value - least
    spread = chroma.clamp(min=torch.finfo(pixels.dtype).tiny)
    sixths = torch.where(
        value == red,
        (green - blue) / spread,
        torch.where(value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    sixths = sixths + 6 * turn[:, 0]
    # A channel is full within one sixth of its own hue, absent beyond two, and linear in between.
    channels = []
    for full in (5, 3, 1):
        distance = sixths + full
        distance = distance - 6 * (distance / 6).floor()
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (other + factor * (pixels - other)).clamp_(0, 255)
