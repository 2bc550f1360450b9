"""Transforms of the inputs of a network: resizing, and normalization as its weights were trained with.

Both are done by hooks before the network, which itself stays as it is: its weights, stages and embedding keep
their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from distillab.errors import RequestError

MARK = "@"
_COLORS = 3


@dataclass(frozen=True)
class InputNormalization:
    """The normalization (x - mean) / std that weights were trained with, per channel, of pixels in [0, 1].

    Attributes:
        mean: Mean per channel.
        std: Standard deviation per channel.

    Example:
        >>> InputNormalization((0.4, 0.5, 0.6), (0.2, 0.2, 0.2)).for_channels(1)
        InputNormalization(mean=(0.5,), std=(0.2,))
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def for_channels(self, channels: int) -> InputNormalization:
        """Return the normalization of inputs with so many channels: for gray ones, the means over color.

        Raises:
            ValueError: There are neither so many channels, nor three of which the means could be taken.
        """
        if channels == len(self.mean) == len(self.std):
            return self
        if channels != 1 or not len(self.mean) == len(self.std) == _COLORS:
            raise ValueError(f"no normalization of {channels} channels follows from {len(self.mean)}")
        mean, std = (round(sum(each) / _COLORS, 6) for each in (self.mean, self.std))
        return InputNormalization((mean,), (std,))

    def after(
        self, mean: Sequence[float], std: Sequence[float]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return ``scale`` and ``shift`` that turn inputs normalized by other statistics into these.

        Example:
            >>> InputNormalization((0.5,), (0.25,)).after((0.0,), (1.0,))
            ((4.0,), (-2.0,))
        """
        scale = tuple(float(other) / own for other, own in zip(std, self.std, strict=True))
        shift = tuple(
            (float(other) - own) / spread
            for other, own, spread in zip(mean, self.mean, self.std, strict=True)
        )
        return scale, shift


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


@dataclass
class ResizingHook:
    """The hook that resizes inputs to a square of ``pixels``."""

    pixels: int
    interpolation: str = "bilinear"

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        x, size = arguments[0], (self.pixels, self.pixels)
        if x.shape[-2:] == size:
            return (x,)
        return (interpolate(x, size, mode=self.interpolation, align_corners=False, antialias=True),)


def resize_inputs(model: nn.Module, pixels: int) -> nn.Module:
    """Have a network resize its inputs ``[N, C, H, W]`` to a square, and return it.

    Args:
        model: The network.
        pixels: The side of the square (bilinear, with antialiasing, unless :func:`set_interpolation` changes
            it).
    """
    model.register_forward_pre_hook(ResizingHook(pixels))
    return model


def set_interpolation(model: nn.Module, interpolation: str) -> None:
    """Set how a network of :func:`resize_inputs` resizes its inputs (``bilinear`` or ``bicubic``); nothing is
    done to others."""
    for hook in model._forward_pre_hooks.values():
        if isinstance(hook, ResizingHook):
            hook.interpolation = interpolation


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
