"""Statistics of single images: color, sharpness, texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices, Pixels
from distillab.modalities.embedding.embedding import batches

StatisticValues = npt.NDArray[np.float64]
_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_SPECTRUM_SIDE = 64  # pixels; larger images are cropped to their center


@dataclass(frozen=True)
class ImageStatistic:
    """Name of a statistic and its meaning for distillation."""

    label: str
    means: str


STATISTICS: dict[str, ImageStatistic] = {
    "brightness": ImageStatistic(
        "brightness", "Mean luma in [0, 1]. Normalization removes it unless it differs between classes."
    ),
    "contrast": ImageStatistic(
        "contrast", "Standard deviation of luma. If it is low, consider normalizing each image."
    ),
    "saturation": ImageStatistic(
        "saturation", "0 is gray. Near 0 color carries little information: try `channels: 1`."
    ),
    "colourfulness": ImageStatistic(
        "colorfulness",
        "After Hasler and Suesstrunk (2003). If it is high, color augmentation may remove class information.",
    ),
    "edges": ImageStatistic(
        "edge strength",
        "Mean gradient of luma: what is lost first when a student gets fewer pixels than its teacher.",
    ),
    "sharpness": ImageStatistic(
        "sharpness",
        "Standard deviation of the Laplacian of luma: low for blurred or enlarged images, which lose little "
        "at a lower resolution.",
    ),
    "spectral_slope": ImageStatistic(
        "spectral slope",
        "Slope of log power over log frequency: -2 to -3 for photographs, 0 for noise, between them for "
        "drawings.",
    ),
    "roughness": ImageStatistic(
        "fine noise",
        "Median absolute difference from the mean of neighboring pixels: sensor noise and compression.",
    ),
}
"""The keys are part of ``profile --json``."""


def image_statistics(images: Examples, positions: Indices) -> dict[str, StatisticValues]:
    """Return every statistic of the images at ``positions``, float64 ``[len(positions)]`` each.

    Statistics of color are left out for gray images.

    Example:
        >>> gray = Examples.of(np.full((1, 1, 8, 8), 51, np.uint8), [0], ("a", "b"))
        >>> image_statistics(gray, np.array([0]))["brightness"].round(3)
        array([0.2])
    """
    parts: list[dict[str, StatisticValues]] = []
    for rows in batches(images.select(positions)):
        parts.append(_statistics_of_batch(images.pixels(positions[rows])))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def luma(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return the brightness of each pixel, float32 ``[B, H, W]`` in [0, 1]."""
    scaled = pixels.astype(np.float32) / 255
    gray = scaled[:, 0] if pixels.shape[1] == 1 else np.tensordot(_LUMA_WEIGHTS, scaled, axes=(0, 1))
    return np.asarray(gray, dtype=np.float32)


def _statistics_of_batch(pixels: Pixels) -> dict[str, StatisticValues]:
    gray = luma(pixels)
    down, across = np.diff(gray, axis=1)[:, :, :-1], np.diff(gray, axis=2)[:, :-1]
    around = (gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]) / 4
    rough = gray[:, 1:-1, 1:-1] - around
    found: dict[str, npt.NDArray[np.floating[Any]]] = {
        "brightness": gray.mean(axis=(1, 2)),
        "contrast": gray.std(axis=(1, 2)),
    }
    if pixels.shape[1] == 3:
        found |= _color_statistics(pixels)
    found |= {
        "edges": np.hypot(down, across).mean(axis=(1, 2)),
        "sharpness": rough.std(axis=(1, 2)),
        "spectral_slope": spectral_slope(gray),
        "roughness": np.median(np.abs(rough), axis=(1, 2)),
    }
    return {name: values.astype(np.float64) for name, values in found.items()}


def _color_statistics(pixels: Pixels) -> dict[str, StatisticValues]:
    red, green, blue = (pixels[:, channel].astype(np.float32) / 255 for channel in range(3))
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = ((high - low) / np.maximum(high, 1e-6)).mean(axis=(1, 2))
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(axis=(1, 2)), second.std(axis=(1, 2)))
    shift = np.hypot(first.mean(axis=(1, 2)), second.mean(axis=(1, 2)))
    return {"saturation": saturation, "colourfulness": spread + 0.3 * shift}


def spectral_slope(gray: npt.NDArray[np.floating[Any]]) -> StatisticValues:
    """Return the slope of log power over log frequency, averaged over directions: float64 ``[B]``.

    A Hann window keeps the image edges out of the spectrum. The slope of a flat image is 0.

    Args:
        gray: float ``[B, H, W]``.
    """
    side = min(gray.shape[1], gray.shape[2], _SPECTRUM_SIDE)
    top, left = (gray.shape[1] - side) // 2, (gray.shape[2] - side) // 2
    square = gray[:, top : top + side, left : left + side]
    window = np.hanning(side + 2)[1:-1]
    power = (
        np.abs(np.fft.fft2((square - square.mean(axis=(1, 2), keepdims=True)) * np.outer(window, window)))
        ** 2
    )
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    ring = np.round(frequency * side).astype(int)
    inside = (ring >= 1) & (ring <= side // 2)
    rings = ring[inside]
    sums = np.stack([np.bincount(rings, weights=each[inside]) for each in power])[:, 1:]
    log_power = np.log(sums / np.bincount(rings)[1:] + 1e-8)
    x = np.log(np.arange(1, log_power.shape[1] + 1))
    x = x - x.mean()
    slopes: StatisticValues = log_power @ x / (x @ x) if len(x) > 1 else np.zeros(len(gray))
    return slopes
