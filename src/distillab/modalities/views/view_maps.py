"""Where the points of an image are in its view: affine maps that move boxes as the pixels are moved.

Coordinates are continuous and in pixels: the first pixel of a row reaches from 0 to 1. A map is float32
``[2, 3]``, from (x, y, 1) in the image to (x, y) in the view.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distillab.modalities.views.shifts import ViewParameters


def identity_maps(count: int) -> Tensor:
    """Return the maps of views in which everything stays in its place, float32 ``[count, 2, 3]``.

    Example:
        >>> identity_maps(1).tolist()
        [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    return torch.eye(2, 3).repeat(count, 1, 1)


def shift_maps(parameters: ViewParameters, pad: int, height: int, width: int) -> Tensor:
    """Return the maps of windows of padded images, of their mirror images, and of quarter turns of these.

    Args:
        parameters: The views of N images.
        pad: Pixels around each image.
        height: Height of the images.
        width: Their width.

    Returns:
        float32 ``[N, 2, 3]``.
    """
    maps = identity_maps(len(parameters.top))
    maps[:, 0, 2] = pad - parameters.left
    maps[:, 1, 2] = pad - parameters.top
    mirror = torch.tensor([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])
    quarter = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, width]])  # counterclockwise, of a square
    maps = torch.where(parameters.flip[:, None, None], then(maps, mirror), maps)
    turns = torch.as_tensor(parameters.turns).expand(len(maps))
    for turn in range(3):
        maps = torch.where((turns > turn)[:, None, None], then(maps, quarter), maps)
    return maps


def then(first: Tensor, second: Tensor) -> Tensor:
    """Return the map that is one map, and then another one of the result: ``[..., 2, 3]`` both.

    Example:
        >>> shift = torch.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
        >>> mirror = torch.tensor([[-1.0, 0.0, 8.0], [0.0, 1.0, 0.0]])
        >>> then(shift, mirror).tolist()
        [[-1.0, 0.0, 5.0], [0.0, 1.0, 0.0]]
    """
    turned = second[..., :2] @ first
    return torch.cat([turned[..., :2], turned[..., 2:] + second[..., 2:]], dim=-1)
