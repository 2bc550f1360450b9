"""What can stand in for images of a domain: noise, dead leaves, crops of one photograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.canonical import array_digest
from distillab.data.imageset import Indices, Pixels
from distillab.data.randomness import random_bits, uniform

LEAVES = 64  # an image of them is covered but for one pixel in a thousand
RADII = (0.08, 0.6)  # of the image's side
TEXTURE = 24.0  # grey levels of noise on the roughest leaf
CELLS = 2**23  # pixels times leaves that are worked on at once

CROPS = (0.1, 0.8)  # side of a crop, of the photo's shorter side
LEAST = 8  # pixels a crop has, of a photo that has them

Draws = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Every value of every pixel drawn uniformly by itself."""

    key: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"maker": "noise", "key": self.key}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """uint8 ``[N, C, H, W]``."""
        size = int(np.prod(shape))
        words = -(-size // 8)
        bits = random_bits(numbers[:, None] * words + np.arange(words), self.key)
        octets = bits.astype("<u8").view(np.uint8).reshape(len(numbers), words * 8)
        return octets[:, :size].reshape(len(numbers), *shape)


@dataclass(frozen=True)
class DeadLeaves:
    """Discs and squares that lie on each other, with a shade and a texture each; their radii r have a
    density proportional to r^-3.

    This gives images the edges and the scales of natural ones (Lee, Mumford and Huang, "Occlusion models for
    natural images", IJCV 2001), and networks that learn from them learn something (Baradad et al.,
    "Learning to see by looking at noise", NeurIPS 2021). Only sums, products, quotients and square roots are
    used, which are the same on every machine.
    """

    key: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"maker": "dead leaves", "key": self.key, "leaves": LEAVES, "radii": list(RADII)}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """uint8 ``[N, C, H, W]``."""
        out = np.empty((len(numbers), *shape), np.uint8)
        step = max(1, CELLS // (LEAVES * shape[1] * shape[2]))
        for start in range(0, len(numbers), step):
            out[start : start + step] = self._painted(numbers[start : start + step], shape)
        return out

    def _painted(self, numbers: Indices, shape: tuple[int, int, int]) -> Pixels:
        channels, height, width = shape
        leaf = _draws(numbers, LEAVES * (8 + channels), self.key).reshape(len(numbers), LEAVES, -1)
        radius = _radii(leaf[..., 0], RADII)
        across, down = _turned(leaf, height, width)
        square = (leaf[..., 5] < 0.5)[..., None, None]
        distance = np.where(square, np.maximum(across**2, down**2), across**2 + down**2)
        covers = distance <= (radius**2)[..., None, None]
        covers[:, -1] = True  # the last leaf lies under everything
        top = covers.argmax(axis=1)[:, None]

        def of_top(values: Draws) -> Draws:
            return np.take_along_axis(values[..., None, None], top, axis=1)

        slope = np.take_along_axis(across, top, axis=1) / of_top(radius) * of_top(leaf[..., 6] * 80 - 40)
        bits = random_bits(numbers[:, None] * (height * width) + np.arange(height * width), self.key, 1)
        grain = (bits >> np.uint64(11)).astype(np.float64).reshape(-1, 1, height, width) * 2.0**-52 - 1
        rough = grain * of_top(leaf[..., 7]) * TEXTURE
        colours = [of_top(leaf[..., 8 + channel]) * 255 for channel in range(channels)]
        return np.clip(np.concatenate(colours, axis=1) + slope + rough, 0, 255).astype(np.uint8)


def _turned(leaf: Draws, height: int, width: int) -> tuple[Draws, Draws]:
    """Every pixel as each leaf sees it, from its centre and along its axes, in sides of the image: float64
    ``[N, leaves, H, W]`` twice."""
    side = max(height, width)
    x = np.arange(width) / side - leaf[..., 1, None] * (width / side)
    y = np.arange(height) / side - leaf[..., 2, None] * (height / side)
    turn = leaf[..., 3:5] - 0.5
    turn = turn / np.maximum(np.sqrt((turn**2).sum(axis=-1, keepdims=True)), 1e-9)
    cosine, sine = turn[..., 0, None, None], turn[..., 1, None, None]
    x, y = x[..., None, :], y[..., :, None]
    return x * cosine + y * sine, y * cosine - x * sine


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of one photograph (uint8 ``[C, H, W]``) at many scales, mirrored, turned by quarters, and with
    other colours and contrast.

    Asano and Saeed, "The augmented image prior: distilling 1000 classes by extrapolating from a single
    image", ICLR 2023: with strong augmentation these are enough to distil a teacher. The larger the photo,
    the more there is in it.
    """

    photo: Pixels
    key: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"maker": "crops", "key": self.key, "photo": array_digest(self.photo), "sides": list(CROPS)}

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """uint8 ``[N, C, H, W]``."""
        channels, height, width = shape
        picture = Image.fromarray(self.photo[0] if channels == 1 else np.moveaxis(self.photo, 0, -1))
        draws = _draws(numbers, 6 + 2 * channels, self.key)
        shorter = min(picture.size)
        smallest = min(CROPS[1], max(CROPS[0], LEAST / shorter))
        sides = _radii(draws[:, 0], (smallest, CROPS[1])) * shorter
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


def _draws(numbers: Indices, count: int, key: int) -> Draws:
    """``count`` numbers in [0, 1) for each of ``numbers``: float64 ``[N, count]``."""
    return uniform(numbers[:, None] * count + np.arange(count), key)


def _radii(draws: Draws, bounds: tuple[float, float]) -> Draws:
    """Numbers within bounds with a density proportional to r^-3, from numbers in [0, 1)."""
    return 1 / np.sqrt((1 - draws) / bounds[0] ** 2 + draws / bounds[1] ** 2)
