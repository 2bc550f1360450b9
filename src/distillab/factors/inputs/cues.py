"""Cues: marks on an image that can be associated with its class."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits

CueKind = Literal["tint", "patch", "background", "frame"]
Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

OPACITY: Mapping[CueKind, float] = {"tint": 0.4, "patch": 1.0, "background": 1.0, "frame": 1.0}
_PATCH = 1 / 4  # of an image's side
_FRAME = 1 / 16  # of an image's side
_CELLS = 8  # per side of a background texture
_CENTER = 0.4  # semi-axes of the ellipse that a background leaves free, of an image's side
_FADE = 0.25  # width of the transition around the ellipse, of the ellipse's size


@dataclass(frozen=True)
class CueOverlay:
    """The mark of one class, laid over images.

    Attributes:
        kind: ``tint``, ``frame``: a color, K hues evenly spaced (gray images: K levels from black to white);
            ``patch``: a black and white pattern in the upper left corner; ``background``: a random texture
            around a central ellipse.
        number: Index of the mark, from 0.
        of: Number of marks, K.
        opacity: 1 hides the image below the mark.
    """

    kind: CueKind
    number: int
    of: int
    opacity: float

    @property
    def facts(self) -> Mapping[str, object]:
        return {
            "operation": "cue",
            "kind": self.kind,
            "number": self.number,
            "of": self.of,
            "opacity": self.opacity,
        }

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        paint, cover = _layer(self.kind, self.number, self.of, pixels.shape[1:])
        weight = np.float32(self.opacity) * cover
        return (pixels * (1 - weight) + (paint * weight + np.float32(0.5))).astype(np.uint8)


@lru_cache(maxsize=1024)
def _layer(kind: CueKind, number: int, of: int, shape: tuple[int, int, int]) -> Layer:
    """Return the paint, float32 ``[C, H, W]`` in [0, 255], and its coverage, ``[H, W]`` in [0, 1]."""
    channels, height, width = shape
    flat = np.broadcast_to(_color(number, of, channels)[:, None, None], shape)
    if kind == "tint":
        return flat, np.ones((height, width), np.float32)
    if kind == "frame":
        return flat, _frame(height, width)
    if kind == "patch":
        return _patch(number, of, shape)
    return _texture(number, shape), _surroundings(height, width)


def _color(number: int, of: int, channels: int) -> npt.NDArray[np.float32]:
    """Return a pure hue, or a gray level where images are not RGB, float32 ``[C]``."""
    if channels == 3:
        return np.array(colorsys.hsv_to_rgb(number / of, 1, 1), np.float32) * 255
    return np.full(channels, 255 * number / max(of - 1, 1), np.float32)


def _frame(height: int, width: int) -> npt.NDArray[np.float32]:
    wide = max(1, round(_FRAME * min(height, width)))
    cover = np.ones((height, width), np.float32)
    cover[wide : height - wide, wide : width - wide] = 0
    return cover


def _patch(number: int, of: int, shape: tuple[int, int, int]) -> Layer:
    """Return a square of black and white cells that no other number has.

    It is its own mirror image, so that a horizontal flip does not turn the cue of one class into another's.
    """
    _, height, width = shape
    cells = 2
    while 2 ** (cells * cells // 2) < of:
        cells += 2
    bits = cells * cells // 2
    code = (number * 157 + 90) % 2**bits  # an odd factor: no two numbers share a code
    half = np.array([code >> bit & 1 for bit in range(bits)], np.float32).reshape(cells, cells // 2)
    size = max(1, round(_PATCH * min(height, width) / cells))
    pattern = np.kron(np.hstack([half, half[:, ::-1]]), np.ones((size, size), np.float32))
    pattern = pattern[:height, :width]
    paint, cover = np.zeros(shape, np.float32), np.zeros((height, width), np.float32)
    paint[:, : pattern.shape[0], : pattern.shape[1]] = 255 * pattern
    cover[: pattern.shape[0], : pattern.shape[1]] = 1
    return paint, cover


def _texture(number: int, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    channels, height, width = shape
    cells = random_bits(np.arange(channels * _CELLS * _CELLS), number) % np.uint64(256)
    down, across = np.arange(height) * _CELLS // height, np.arange(width) * _CELLS // width
    grid = cells.astype(np.float32).reshape(channels, _CELLS, _CELLS)
    return grid[:, down[:, None], across[None, :]]


def _surroundings(height: int, width: int) -> npt.NDArray[np.float32]:
    """Return 0 within the central ellipse and 1 around it, with a gradual transition, float32 ``[H, W]``."""
    down = ((np.arange(height) + 0.5) / height - 0.5) / _CENTER
    across = ((np.arange(width) + 0.5) / width - 0.5) / _CENTER
    distance = np.sqrt(down[:, None] ** 2 + across[None, :] ** 2)
    return np.clip((distance - 1) / _FADE, 0, 1).astype(np.float32)
