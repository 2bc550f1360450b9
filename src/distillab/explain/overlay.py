"""Attribution maps drawn over the images that they explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.explain.attribution import Maps

ItemPicture = npt.NDArray[np.uint8]
_LEAST_SIDE = 256  # pixels to which smaller images are enlarged
_GAP = 6  # pixels between the image and its overlay
# From weak to strong evidence: where a value lies, and its color. The image below is gray.
_VALUES = (0.0, 0.35, 0.7, 1.0)
_COLORS = ((40, 60, 190), (190, 40, 150), (245, 110, 30), (255, 235, 60))
_OPAQUE = 0.85  # of the strongest evidence
_LUMA = (0.299, 0.587, 0.114)


def overlay(
    picture: ItemPicture, attribution: npt.NDArray[np.float32], *, side: int = _LEAST_SIDE
) -> ItemPicture:
    """Return an image in gray with its attribution in color: purple for weak evidence, yellow for strong.

    Places without attribution stay gray. The image is enlarged so that its shorter side has at least ``side``
    pixels.

    Args:
        picture: uint8 ``[H, W, C]`` with one or three channels.
        attribution: The normalized map, float32 ``[H, W]``.
        side: The least side of the result.

    Returns:
        uint8 ``[H', W', 3]``.

    Example:
        >>> overlay(np.full((8, 8, 1), 100, np.uint8), np.zeros((8, 8), np.float32), side=8)[0, 0].tolist()
        [100, 100, 100]
    """
    size = _enlarged(picture, side)
    colored = np.asarray(_image(picture).resize(size, Image.Resampling.BICUBIC), np.float64)
    gray = (colored @ np.array(_LUMA))[:, :, None]
    shown = Image.fromarray(attribution.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    values = np.clip(np.asarray(shown, np.float64), 0, 1)
    color = np.stack([np.interp(values, _VALUES, each) for each in zip(*_COLORS, strict=True)], axis=2)
    alpha = _OPAQUE * np.sqrt(values)[:, :, None]
    found: ItemPicture = (alpha * color + (1 - alpha) * gray).round().astype(np.uint8)
    return found


def side_by_side(
    picture: ItemPicture, attribution: npt.NDArray[np.float32], *, side: int = _LEAST_SIDE
) -> ItemPicture:
    """Return an image and its overlay beside it, uint8 ``[H', W', 3]``.

    The arguments are those of :func:`overlay`.

    Example:
        >>> side_by_side(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32), side=8).shape
        (8, 22, 3)
    """
    right = overlay(picture, attribution, side=side)
    left = np.asarray(_image(picture).resize(_enlarged(picture, side), Image.Resampling.BICUBIC))
    gap = np.full((len(right), _GAP, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def item_picture(item: npt.NDArray[Any]) -> ItemPicture:
    """Return an item of a data set as a picture, uint8 ``[H, W, C]``.

    Args:
        item: uint8 ``[C, H, W]`` of an image; float ``[C, F, T]`` of a spectrogram, whose values are scaled
            to the range of a picture, low frequencies at the top as in the map.

    Example:
        >>> item_picture(np.array([[[0.0, 2.0]]])).tolist()
        [[[0], [255]]]
    """
    values = np.moveaxis(item, 0, -1)
    if values.dtype != np.uint8:
        values = values.astype(np.float64)
        spread = np.ptp(values) or 1.0
        values = (255 * (values - values.min()) / spread).round().astype(np.uint8)
    found: ItemPicture = values if values.shape[2] in (1, 3) else values[:, :, :1]
    return found


def stored_maps(maps: Maps) -> npt.NDArray[np.uint8]:
    """Return maps in 8 bits, in which they are stored: uint8 ``[N, H, W]``.

    Example:
        >>> stored_maps(np.array([[[0.0, 1.0]]], np.float32)).tolist()
        [[[0, 255]]]
    """
    found: npt.NDArray[np.uint8] = (np.clip(maps, 0, 1) * 255).round().astype(np.uint8)
    return found


def _enlarged(picture: ItemPicture, side: int) -> tuple[int, int]:
    height, width = picture.shape[:2]
    times = max(1, -(-side // min(height, width)))
    return width * times, height * times


def _image(picture: ItemPicture) -> Image.Image:
    pixels = np.ascontiguousarray(picture)
    return Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
