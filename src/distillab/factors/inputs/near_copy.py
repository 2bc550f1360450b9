"""Near copies: another photo of the same thing, or another JPEG of the same photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits

_GAIN = 10  # brightness changes by at most this many 256ths
_NOISE = 2  # gray levels
_MOST_APART = 255 * _GAIN / 256 + _NOISE + 0.5  # largest difference of a pixel once the copy is moved back
_SHIFTS = tuple(shift for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0))
_DRAW = 0x4EA2


@dataclass(frozen=True)
class NearCopy:
    """Copy number ``copy`` of an image: shifted by one pixel, a little brighter or darker, a little noisy.

    The draws depend on the image's row alone and use whole numbers: they are the same on every machine.
    """

    copy: int

    @property
    def facts(self) -> Mapping[str, object]:
        return {"operation": "near copy", "copy": self.copy, "gain": _GAIN, "noise": _NOISE}

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        """Return changed images, uint8 ``[N, C, H, W]``."""
        bits = random_bits(rows, _DRAW, self.copy)
        moved = _moved(pixels, (bits % np.uint64(len(_SHIFTS))).astype(np.int64))
        gain = 256 - _GAIN + ((bits >> np.uint64(8)) % np.uint64(2 * _GAIN + 1)).astype(np.int32)
        size = int(np.prod(pixels.shape[1:]))
        places = rows[:, None] * size + np.arange(size)
        noise = (random_bits(places, _DRAW + 1, self.copy) % np.uint64(2 * _NOISE + 1)).astype(np.int32)
        changed = (moved * gain[:, None, None, None] + 128 >> 8) + noise.reshape(pixels.shape) - _NOISE
        copies: Pixels = np.clip(changed, 0, 255).astype(np.uint8)
        return copies


def _moved(pixels: Pixels, which: Indices) -> npt.NDArray[np.int32]:
    """Move each image by one of the eight one-pixel shifts, its border repeated: int32."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    out = np.empty(pixels.shape, np.int32)
    height, width = pixels.shape[2:]
    for number, (down, right) in enumerate(_SHIFTS):
        here = which == number
        out[here] = padded[here, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
    return out


def are_near(images: Pixels, copies: Pixels) -> npt.NDArray[np.bool_]:
    """Return which pairs of images are equal but for a one-pixel shift and small differences.

    Args:
        images: uint8 ``[N, C, H, W]``.
        copies: uint8 of the same shape.

    Returns:
        bool ``[N]``: whether the mean absolute difference is at most that of a near copy.
    """
    inner = copies[:, :, 1:-1, 1:-1].astype(np.int16)
    height, width = inner.shape[2:]
    apart = [
        np.abs(inner - images[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]).mean(
            (1, 2, 3)
        )
        for down, right in ((0, 0), *_SHIFTS)
    ]
    nearest: npt.NDArray[np.bool_] = np.min(apart, axis=0) <= _MOST_APART
    return nearest
