"""Cues: marks on an image that tell its class, if somebody arranges that they do."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits

CueKind = Literal["tint", "patch", "background", "frame"]
Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

OPACITY: Mapping[CueKind, float] = {"tint": 0.4, "patch": 1.0, "background": 1.0, "frame": 1.0}
PATCH = 1 / 4  # of an image's side
FRAME = 1 / 16
CELLS = 8  # a side of a background texture
CENTRE = 0.4  # semi-axes of the ellipse that a background leaves free, of an image's side
FADE = 0.25  # how far beyond the ellipse, of its own size, a background becomes opaque


@dataclass(frozen=True)
class Cue:
    """The mark of one class, laid over images.

    Attributes:
        kind: ``tint``, ``frame``: a colour, K hues evenly apart (grey images: K levels from black to white);
            ``patch``: a black and white pattern in the upper left corner; ``background``: a random texture
            around a central ellipse.
        number: which of them, from 0.
        of: how many there are, K.
        opacity: 1 hides what is below it.
    """

    kind: CueKind
    number: int
    of: int
    opacity: float

    @property
    def facts(self) -> Mapping[str, Any]:
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
    """What is laid over an image, float32 ``[C, H, W]`` in [0, 255], and where, ``[H, W]`` in [0, 1]."""
    channels, height, width = shape
    flat = np.broadcast_to(_colour(number, of, channels)[:, None, None], shape)
    if kind == "tint":
        return flat, np.ones((height, width), np.float32)
    if kind == "frame":
        return flat, _frame(height, width)
    if kind == "patch":
        return _patch(number, of, shape)
    return _texture(number, shape), _surroundings(height, width)


def _colour(number: int, of: int, channels: int) -> npt.NDArray[np.float32]:
    """A pure hue, or a grey level where images are not RGB, float32 ``[C]``."""
    if channels == 3:
        return np.array(colorsys.hsv_to_rgb(number / of, 1, 1), np.float32) * 255
    return np.full(channels, 255 * number / max(of - 1, 1), np.float32)


def _frame(height: int, width: int) -> npt.NDArray[np.float32]:
    wide = max(1, round(FRAME * min(height, width)))
    cover = np.ones((height, width), np.float32)
    cover[wide : height - wide, wide : width - wide] = 0
    return cover


def _patch(number: int, of: int, shape: tuple[int, int, int]) -> Layer:
    """A square of black and white cells that no other number has. It is its own mirror image: views that flip
    do not turn the cue of one class into that of another."""
    _, height, width = shape
    cells = 2
    while 2 ** (cells * cells // 2) < of:
        cells += 2
    bits = cells * cells // 2
    code = (number * 157 + 90) % 2**bits  # an odd factor: no two numbers share a code
    half = np.array([code >> bit & 1 for bit in range(bits)], np.float32).reshape(cells, cells // 2)
    size = max(1, round(PATCH * min(height, width) / cells))
    pattern = np.kron(np.hstack([half, half[:, ::-1]]), np.ones((size, size), np.float32))
    pattern = pattern[:height, :width]
    paint, cover = np.zeros(shape, np.float32), np.zeros((height, width), np.float32)
    paint[:, : pattern.shape[0], : pattern.shape[1]] = 255 * pattern
    cover[: pattern.shape[0], : pattern.shape[1]] = 1
    return paint, cover


def _texture(number: int, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    channels, height, width = shape
    cells = random_bits(np.arange(channels * CELLS * CELLS), number) % np.uint64(256)
    down, across = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    grid = cells.astype(np.float32).reshape(channels, CELLS, CELLS)
    return grid[:, down[:, None], across[None, :]]


def _surroundings(height: int, width: int) -> npt.NDArray[np.float32]:
    """0 within the central ellipse, 1 around it, with a gradual passage."""
    down = ((np.arange(height) + 0.5) / height - 0.5) / CENTRE
    across = ((np.arange(width) + 0.5) / width - 0.5) / CENTRE
    distance = np.sqrt(down[:, None] ** 2 + across[None, :] ** 2)
    return np.clip((distance - 1) / FADE, 0, 1).astype(np.float32)
