"""What a network is shown: the images as they come, or resized and normalised as it has learned to see them.

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


def seen_at(name: str) -> tuple[str, int | None]:
    """``NAME@PIXELS`` as the network's name and the size at which it sees images; None for as they come.

    Raises:
        RequestError: what follows the mark is no number.
    """
    network, mark, pixels = name.rpartition(MARK)
    if not mark:
        return name, None
    if not pixels.isdecimal():
        raise RequestError(f"{name!r} is not a model", allowed=f"a number of pixels after the {MARK}")
    return network, int(pixels)


def resizing(model: nn.Module, pixels: int) -> nn.Module:
    """The network, seeing all images, ``[N, C, H, W]``, at ``pixels`` a side (bilinear, without aliasing)."""

    def resize(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
        x = inputs[0]
        if x.shape[-2:] == (pixels, pixels):
            return (x,)
        return (interpolate(x, (pixels, pixels), mode="bilinear", align_corners=False, antialias=True),)

    model.register_forward_pre_hook(resize)
    return model


def rescaling(model: nn.Module, scale: Sequence[float], shift: Sequence[float]) -> nn.Module:
    """The network, seeing x * scale + shift, by channel, in the place of images x ``[N, C, H, W]``."""

    def rescale(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
        x = inputs[0]
        factor, offset = (torch.as_tensor(each, dtype=x.dtype, device=x.device) for each in (scale, shift))
        return (x * factor[:, None, None] + offset[:, None, None],)

    model.register_forward_pre_hook(rescale)
    return model
