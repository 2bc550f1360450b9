"""Near copies: another photo of the same thing, or another JPEG of the same photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits

GAIN = 10  # brightness changes by at most this many 256ths
NOISE = 2  # grey levels
NEAREST = 255 * GAIN / 256 + NOISE + 0.5  # no pixel of a copy can differ by more, once it is moved back
_SHIFTS = tuple(shift for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0))
_DRAW = 0x4EA2


@dataclass(frozen=True)
class NearCopy:
    """Copy number ``copy`` of an image: moved by one pixel, a little brighter or darker, a little noisy.

    What happens is drawn for the image's row, in whole numbers: the same on every machine.
    """

    copy: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"operation": "near copy", "copy": self.copy, "gain": GAIN, "noise": NOISE}

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        """Changed images, uint8 ``[N, C, H, W]``."""
        bits = random_bits(rows, _DRAW, self.copy)
        moved = _moved(pixels, (bits % np.uint64(len(_SHIFTS))).astype(np.int64))
        gain = 256 - GAIN + ((bits >> np.uint64(8)) % np.uint64(2 * GAIN + 1)).astype(np.int32)
        size = int(np.prod(pixels.shape[1:]))
        places = rows[:, None] * size + np.arange(size)
        noise = (random_bits(places, _DRAW + 1, self.copy) % np.uint64(2 * NOISE + 1)).astype(np.int32)
        changed = (moved * gain[:, None, None, None] + 128 >> 8) + noise.reshape(pixels.shape) - NOISE
        copies: Pixels = np.clip(changed, 0, 255).astype(np.uint8)
        return copies


def _moved(pixels: Pixels, which: Indices) -> npt.NDArray[np.int32]:
    """Each image moved by one of the eight shifts of a pixel, its border repeated: int32."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    out = np.empty(pixels.shape, np.int32)
    height, width = pixels.shape[2:]
    for number, (down, right) in enumerate(_SHIFTS):
        here = which == number
        out[here] = padded[here, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
    return out


def are_near(images: Pixels, copies: Pixels) -> npt.NDArray[np.bool_]:
    """Which pairs of images (uint8 ``[N, C, H, W]`` twice) are alike but for a shift of at most one pixel
    and, on average, :data:`NEAREST` grey levels: bool ``[N]``."""
    inner = copies[:, :, 1:-1, 1:-1].astype(np.int16)
    height, width = inner.shape[2:]
    apart = [
        np.abs(inner - images[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]).mean(
            (1, 2, 3)
        )
        for down, right in ((0, 0), *_SHIFTS)
    ]
    nearest: npt.NDArray[np.bool_] = np.min(apart, axis=0) <= NEAREST
    return nearest
