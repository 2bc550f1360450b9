"""Synthetic images in place of images of a domain: noise, dead leaves, crops of one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.canonical import JsonObject, array_digest
from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits, uniform

_LEAVES = 64  # they cover 98 of 100 pixels
_RADII = (0.08, 0.6)  # of the image's side
_COLOR = 0.6  # share of a leaf's levels that its channels do not have in common
_SHADE = 80.0  # gray levels from one side of a leaf to the other, at most
_TEXTURE = 24.0  # gray levels of noise on the roughest leaf
_CELLS = 2**19  # pixels times leaves that are computed at once

_CROPS = (0.1, 0.8)  # side of a crop, of the photo's shorter side
_LEAST = 8  # pixels per side of a crop, of a photo that has them

Reals = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Noise:
    """Every value of every pixel drawn uniformly and independently.

    Attributes:
        key: Distinguishes generators.
    """

    key: int

    @property
    def facts(self) -> JsonObject:
        """Everything that determines the images."""
        return {"maker": "noise", "key": self.key}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """Return one image per number, uint8 ``[N, C, H, W]``."""
        size = int(np.prod(shape))
        words = -(-size // 8)
        bits = random_bits(numbers[:, None] * words + np.arange(words), self.key)
        octets = bits.astype("<u8").view(np.uint8).reshape(len(numbers), words * 8)
        return octets[:, :size].reshape(len(numbers), *shape)


@dataclass(frozen=True)
class DeadLeaves:
    """Overlapping discs and squares with a shade and a texture each; their radii r have a density
    proportional to r^-3.

    This gives images the edges and scales of natural ones (Lee, Mumford and Huang, "Occlusion models for
    natural images", IJCV 2001), and networks learn useful features from them (Baradad et al., "Learning to
    see by looking at noise", NeurIPS 2021). Only sums, products, quotients and square roots are used, which
    are the same on every machine.

    Attributes:
        key: Distinguishes generators.
    """

    key: int

    @property
    def facts(self) -> JsonObject:
        """Everything that determines the images."""
        return {"maker": "dead leaves", "key": self.key, "leaves": _LEAVES, "radii": list(_RADII)}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """Return one image per number, uint8 ``[N, C, H, W]``."""
        out = np.empty((len(numbers), *shape), np.uint8)
        step = max(1, _CELLS // (_LEAVES * shape[1] * shape[2]))
        for start in range(0, len(numbers), step):
            out[start : start + step] = self._painted(numbers[start : start + step], shape)
        return out

    def _painted(self, numbers: Indices, shape: tuple[int, int, int]) -> Pixels:
        channels, height, width = shape
        leaf = _draws(numbers, _LEAVES * (9 + channels), self.key).reshape(len(numbers), _LEAVES, -1)
        leaf = leaf.astype(np.float32)
        side = max(height, width)
        x = np.arange(width, dtype=np.float32) / side - leaf[..., 1, None] * (width / side)
        y = np.arange(height, dtype=np.float32) / side - leaf[..., 2, None] * (height / side)
        radius = _radii(leaf[..., 0], _RADII)[..., None, None]
        top = _covered(x, y, radius, leaf[..., 3:5] - 0.5).argmax(axis=1)
        image = np.arange(len(numbers))[:, None, None]

        def of_top(number: int) -> Reals:
            values: Reals = leaf[..., number][image, top]
            return values

        across = x[image, top, np.arange(width)] * (of_top(5) - 0.5)
        down = y[image, top, np.arange(height)[:, None]] * (of_top(6) - 0.5)
        bits = random_bits(numbers[:, None] * (height * width) + np.arange(height * width), self.key, 1)
        grain = (bits >> np.uint64(40)).astype(np.float32).reshape(-1, height, width) * 2.0**-23 - 1
        shade = _SHADE * (across + down) / radius[..., 0, 0][image, top] + _TEXTURE * grain * of_top(7)
        light = of_top(8) * 255 * (1 - _COLOR)
        colors = [light + of_top(9 + channel) * 255 * _COLOR + shade for channel in range(channels)]
        painted: Pixels = np.clip(np.stack(colors, axis=1), 0, 255).astype(np.uint8)
        return painted


def _covered(x: Reals, y: Reals, radius: Reals, turn: Reals) -> npt.NDArray[np.bool_]:
    """Return which pixels each leaf covers, discs and squares in turn: bool ``[N, leaves, H, W]``.

    Args:
        x: Distance of the columns of pixels from the center of each leaf, ``[N, leaves, W]``.
        y: Distance of the rows, ``[N, leaves, H]``.
        radius: ``[N, leaves, 1, 1]``; half of the side of a square.
        turn: ``[N, leaves, 2]``, the direction of a square's side, of any length.
    """
    covers = np.empty((*y.shape, x.shape[-1]), dtype=bool)
    disc, square = slice(0, None, 2), slice(1, None, 2)
    distance = (x**2)[:, disc, None, :] + (y**2)[:, disc, :, None]
    np.less_equal(distance, radius[:, disc] ** 2, out=covers[:, disc])
    turn = turn / np.maximum(np.sqrt((turn**2).sum(axis=-1, keepdims=True)), 1e-6)
    cosine, sine = turn[..., :1], turn[..., 1:]
    along = (x * cosine)[:, square, None, :] + (y * sine)[:, square, :, None]
    beside = (y * cosine)[:, square, :, None] - (x * sine)[:, square, None, :]
    farther = np.maximum(np.abs(along, out=along), np.abs(beside, out=beside), out=along)
    np.less_equal(farther, radius[:, square], out=covers[:, square])
    covers[:, -1] = True  # the last leaf lies under everything
    return covers


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of one photograph at many scales, mirrored, turned by quarters, and with other colors and
    contrast.

    Asano and Saeed, "The augmented image prior: distilling 1000 classes by extrapolating from a single
    image", ICLR 2023: with strong augmentation these are enough to distil a teacher. A larger photo gives
    more varied crops.

    Attributes:
        photo: uint8 ``[C, H, W]``.
        key: Distinguishes generators.
    """

    photo: Pixels
    key: int

    @property
    def facts(self) -> JsonObject:
        """Everything that determines the images."""
        return {"maker": "crops", "key": self.key, "photo": array_digest(self.photo), "sides": list(_CROPS)}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """Return one image per number, uint8 ``[N, C, H, W]``."""
        channels, height, width = shape
        picture = Image.fromarray(self.photo[0] if channels == 1 else np.moveaxis(self.photo, 0, -1))
        draws = _draws(numbers, 6 + 2 * channels, self.key)
        shorter = min(picture.size)
        smallest = min(_CROPS[1], max(_CROPS[0], _LEAST / shorter))
        sides = _radii(draws[:, 0], (smallest, _CROPS[1])) * shorter
        out = np.empty((len(numbers), *shape), np.uint8)
        for place, (side, draw) in enumerate(zip(sides, draws, strict=True)):
            left, up = draw[1] * (picture.width - side), draw[2] * (picture.height - side)
            box = (left, up, left + side, up + side)
            crop = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
            turns = int(draw[3] * 4) if height == width else 2 * int(draw[3] * 2)
            crop = np.rot90(crop if draw[4] < 0.5 else crop[:, ::-1], turns)
            out[place] = np.moveaxis(crop.reshape(height, width, channels), -1, 0)
        contrast = 0.6 + 0.8 * draws[:, 5, None] + 0.2 * (draws[:, 6 : 6 + channels] - 0.5)
        light = 60 * (draws[:, 6 + channels :] - 0.5)
        changed = (out - 128.0) * contrast[:, :, None, None] + (128.0 + light)[:, :, None, None]
        return np.clip(changed, 0, 255).astype(np.uint8)


def _draws(numbers: Indices, count: int, key: int) -> Reals:
    """Return ``count`` numbers in [0, 1) for each of ``numbers``: float64 ``[N, count]``."""
    return uniform(numbers[:, None] * count + np.arange(count), key)


def _radii(draws: Reals, bounds: tuple[float, float]) -> Reals:
    """Map numbers in [0, 1) to numbers within bounds, with a density proportional to r^-3."""
    return 1 / np.sqrt((1 - draws) / bounds[0] ** 2 + draws / bounds[1] ** 2)
