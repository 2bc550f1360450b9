"""Where, and in which channels, a feature map is active: softmax attention over places and over channels."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Over = Literal["image", "batch"]
"""What the softmax of an attention runs over: the places or channels of each image, or the batch."""


def spatial_attention(maps: Tensor, temperature: float, over: Over = "image") -> Tensor:
    """Return H W softmax(mean_c |f| / T) over the places of an image: ``[N, C, H, W]`` -> ``[N, H, W]``.

    Its sum over the places of an image is H W. Over the batch, its sum over the images is H W at each place.

    Source: Yang et al., "Focal and global knowledge distillation for detectors", CVPR 2022, equation 6.

    Example:
        >>> import torch
        >>> spatial_attention(torch.ones(1, 4, 2, 3), temperature=0.5).sum().item()
        6.0
    """
    active = maps.abs().mean(dim=1).flatten(1) / temperature
    found = active.softmax(dim=1 if over == "image" else 0) * active.shape[1]
    return found.reshape(len(maps), *maps.shape[2:])


def channel_attention(maps: Tensor, temperature: float, over: Over = "image") -> Tensor:
    """Return C softmax(mean_hw |f| / T) over the channels of an image: ``[N, C, H, W]`` -> ``[N, C]``.

    Its sum over the channels of an image is C. Over the batch, its sum over the images is C in each channel.

    Source: Yang et al., "Focal and global knowledge distillation for detectors", CVPR 2022, equation 7.

    Example:
        >>> import torch
        >>> channel_attention(torch.ones(1, 4, 2, 3), temperature=0.5).tolist()
        [[1.0, 1.0, 1.0, 1.0]]
    """
    active = maps.abs().mean(dim=(2, 3)) / temperature
    return active.softmax(dim=1 if over == "image" else 0) * maps.shape[1]
