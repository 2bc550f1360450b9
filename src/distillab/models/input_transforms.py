"""Transforms of the inputs of a network: resizing, and normalization as its weights were trained with.

Both are done by hooks before the network, which itself stays as it is: its weights, stages and embedding keep
their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from distillab.errors import RequestError

MARK = "@"


def split_input_size(name: str) -> tuple[str, int | None]:
    """Return the network's name in ``NAME@PIXELS`` and the size to which inputs are resized, or None.

    Raises:
        RequestError: What follows the mark is no number.

    Example:
        >>> split_input_size("timm:vit_tiny_patch16_224@64")
        ('timm:vit_tiny_patch16_224', 64)
    """
    network, mark, pixels = name.rpartition(MARK)
    if not mark:
        return name, None
    if not pixels.isdecimal():
        raise RequestError(f"{name!r} is not a model", allowed=f"a number of pixels after the {MARK}")
    return network, int(pixels)


def resize_inputs(model: nn.Module, pixels: int) -> nn.Module:
    """Have a network resize its inputs ``[N, C, H, W]`` to a square, and return it.

    Args:
        model: The network.
        pixels: The side of the square (bilinear, with antialiasing).
    """

    def resize(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        x = arguments[0]
        if x.shape[-2:] == (pixels, pixels):
            return (x,)
        return (interpolate(x, (pixels, pixels), mode="bilinear", align_corners=False, antialias=True),)

    model.register_forward_pre_hook(resize)
    return model


def rescale_inputs(model: nn.Module, scale: Sequence[float], shift: Sequence[float]) -> nn.Module:
    """Have a network take x * scale + shift in the place of an input x ``[N, C, H, W]``, and return it.

    Args:
        model: The network.
        scale: One number per channel.
        shift: One number per channel.
    """

    def rescale(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        x = arguments[0]
        factor, offset = (torch.as_tensor(each, dtype=x.dtype, device=x.device) for each in (scale, shift))
        return (x * factor[:, None, None] + offset[:, None, None],)

    model.register_forward_pre_hook(rescale)
    return model
