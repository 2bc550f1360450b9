"""Shifts and mirrors: the views of which an image has finitely many, so that each has a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor
from torch.nn import functional as F

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits
from distillab.modalities.views.layout import to_channels_last


@dataclass(frozen=True)
class ViewParameters:
    """Crop offsets, mirror flags and quarter turns of a batch.

    Attributes:
        top: int64 ``[N]``, counted from the upper border of the padded image.
        left: int64 ``[N]``, counted from its left border.
        flip: bool ``[N]``, whether the window is mirrored.
        turns: int64 ``[N]``, quarter turns counterclockwise after that; 0 for shifts.

    Example:
        >>> parameters = Shifts(pad=4, mirror=True).draw(np.arange(3), epoch=0, seed=0)
        >>> parameters.top.shape, parameters.flip.dtype
        (torch.Size([3]), torch.bool)
    """

    top: Tensor
    left: Tensor
    flip: Tensor
    turns: Tensor | int = 0


@dataclass(frozen=True)
class Shifts:
    """Windows of an image padded by ``pad`` black pixels, half of them mirrored if ``mirror``."""

    pad: int
    mirror: bool

    @property
    def count(self) -> int:
        """Number of views of an image: (2 pad + 1)^2, twice that with mirror images."""
        return (2 * self.pad + 1) ** 2 * (2 if self.mirror else 1)

    def draw(self, ids: Indices, epoch: int, seed: int) -> ViewParameters:
        """Return the view of each image in an epoch: a pure function of id, epoch and seed."""
        bits = random_bits(ids, seed, epoch)
        sides = np.uint64(2 * self.pad + 1)
        top = (bits & np.uint64(0xFFFFF)) % sides
        left = ((bits >> np.uint64(20)) & np.uint64(0xFFFFF)) % sides
        flip = (bits >> np.uint64(63)).astype(bool) if self.mirror else np.zeros(len(bits), dtype=bool)
        return _parameters(top, left, flip)

    def index(self, parameters: ViewParameters) -> Indices:
        """Return the number of each view, int64 ``[N]`` in [0, count)."""
        sides = 2 * self.pad + 1
        window = parameters.top * sides + parameters.left
        number = window * 2 + parameters.flip.long() if self.mirror else window
        return np.asarray(number.cpu().numpy(), dtype=np.int64)

    def at(self, index: Indices) -> ViewParameters:
        """Return the views with the given numbers, int64 ``[N]``: the inverse of :meth:`index`.

        Raises:
            IndexError: A number is outside [0, count).
        """
        number = np.asarray(index)
        if len(number) and not 0 <= number.min() <= number.max() < self.count:
            raise IndexError(f"these views are numbered from 0 to {self.count - 1}")
        window = number // 2 if self.mirror else number
        flip = (number % 2).astype(bool) if self.mirror else np.zeros(len(number), dtype=bool)
        top, left = np.divmod(window, 2 * self.pad + 1)
        return _parameters(top, left, flip)

    def render(self, items: Tensor, parameters: ViewParameters) -> Tensor:
        """Return the views of a batch, ``items`` [N, C, H, W], in the same shape, dtype and device.

        They are in channels-last memory unless there is only one view.
        """
        if self.count == 1:
            return items
        if items.device.type == "cpu" and items.dtype == torch.uint8:
            return to_channels_last(_windows_by_stride(items, parameters, self.pad))
        return windows_by_index(items, parameters, self.pad)


def _parameters(top: npt.NDArray[Any], left: npt.NDArray[Any], flip: npt.NDArray[np.bool_]) -> ViewParameters:
    return ViewParameters(
        torch.from_numpy(top.astype(np.int64)),
        torch.from_numpy(left.astype(np.int64)),
        torch.from_numpy(flip),
    )


def windows_by_index(items: Tensor, parameters: ViewParameters, pad: int) -> Tensor:
    """Return the views of a batch by one gather, on any device: ``items`` [N, C, H, W] to the same shape."""
    n, _, height, width = items.shape
    device = items.device
    rows = parameters.top.to(device)[:, None] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = torch.where(parameters.flip.to(device)[:, None], columns.flip(1), columns)
    columns = columns + parameters.left.to(device)[:, None]
    padded = F.pad(items, (pad,) * 4)
    image = torch.arange(n, device=device)[:, None, None]
    # Indexing around the channel axis puts it last: [N, H, W, C], which is channels-last memory already.
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _windows_by_stride(pixels: Tensor, parameters: ViewParameters, pad: int) -> Tensor:
    """Return the same for bytes on the CPU, where copying whole rows is eight times as fast as a gather."""
    n, channels, height, width = pixels.shape
    if pad:
        padded = np.zeros((n, channels, height + 2 * pad, width + 2 * pad), np.uint8)
        padded[:, :, pad:-pad, pad:-pad] = pixels.numpy()
        image, plane, row, column = padded.strides
        # All windows of all images, [N, top, left, C, H, W], without copying any.
        offsets = 2 * pad + 1
        shape = (n, offsets, offsets, channels, height, width)
        windows = as_strided(padded, shape, (image, row, column, plane, row, column), writeable=False)
        chosen = windows[np.arange(n), parameters.top.numpy(), parameters.left.numpy()]
    else:
        chosen = pixels.numpy().copy()
    mirrored = np.flatnonzero(parameters.flip.numpy())
    chosen[mirrored] = torch.from_numpy(chosen[mirrored]).flip(3).numpy()
    return torch.from_numpy(chosen)
