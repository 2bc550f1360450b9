"""Statistics of single images: colour, sharpness, texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices, Pixels
from distillab.modalities.image.embedding.embedding import batches

Values = npt.NDArray[np.float64]
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
SPECTRUM_SIDE = 64  # pixels; larger images are cut to their middle


@dataclass(frozen=True)
class Statistic:
    """What a statistic is called, and what it means for distillation."""

    label: str
    means: str


STATISTICS: dict[str, Statistic] = {
    "brightness": Statistic(
        "brightness", "Mean luma in [0, 1]. Normalisation takes it out unless it differs by class."
    ),
    "contrast": Statistic(
        "contrast", "Standard deviation of luma. Low contrast asks for normalisation by image."
    ),
    "saturation": Statistic("saturation", "0 is grey. Near 0 colour says little: try `channels: 1`."),
    "colourfulness": Statistic(
        "colourfulness", "After Hasler and Suesstrunk (2003). High: colour views may erase classes."
    ),
    "edges": Statistic(
        "edge strength",
        "Mean gradient of luma. What is lost first when a student sees fewer pixels than its teacher.",
    ),
    "sharpness": Statistic(
        "sharpness",
        "Spread of the Laplacian of luma: low for blurred or enlarged images, which bear a lower resolution.",
    ),
    "spectral_slope": Statistic(
        "spectral slope",
        "Of log power over log frequency; photographs lie near -2 to -3, noise at 0, drawings between.",
    ),
    "roughness": Statistic(
        "fine noise", "Median absolute difference from the mean of neighbours: sensor noise and compression."
    ),
}


def statistics_of(images: Examples, positions: Indices) -> dict[str, Values]:
    """Every statistic of the images at ``positions``, float64 ``[len(positions)]`` each; those of colour for
    colour images only."""
    parts: list[dict[str, Values]] = []
    for rows in batches(images.select(positions)):
        parts.append(_of(images.pixels(positions[rows])))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def luma(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Brightness of each pixel, float32 ``[B, H, W]`` in [0, 1]."""
    scaled = pixels.astype(np.float32) / 255
    grey = scaled[:, 0] if pixels.shape[1] == 1 else np.tensordot(LUMA, scaled, axes=(0, 1))
    return np.asarray(grey, dtype=np.float32)


def _of(pixels: Pixels) -> dict[str, Values]:
    grey = luma(pixels)
    down, across = np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]
    around = (grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]) / 4
    rough = grey[:, 1:-1, 1:-1] - around
    found: dict[str, npt.NDArray[np.floating[Any]]] = {
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
    }
    if pixels.shape[1] == 3:
        found |= _colour(pixels)
    found |= {
        "edges": np.hypot(down, across).mean(axis=(1, 2)),
        "sharpness": rough.std(axis=(1, 2)),
        "spectral_slope": spectral_slope(grey),
        "roughness": np.median(np.abs(rough), axis=(1, 2)),
    }
    return {name: values.astype(np.float64) for name, values in found.items()}


def _colour(pixels: Pixels) -> dict[str, Values]:
    red, green, blue = (pixels[:, channel].astype(np.float32) / 255 for channel in range(3))
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = ((high - low) / np.maximum(high, 1e-6)).mean(axis=(1, 2))
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(axis=(1, 2)), second.std(axis=(1, 2)))
    shift = np.hypot(first.mean(axis=(1, 2)), second.mean(axis=(1, 2)))
    return {"saturation": saturation, "colourfulness": spread + 0.3 * shift}


def spectral_slope(grey: npt.NDArray[np.floating[Any]]) -> Values:
    """Slope of log power over log frequency, all directions together: float64 ``[B]``; 0 for flat images.

    Args:
        grey: float ``[B, H, W]``; a Hann window keeps the edges of the image out of the spectrum.
    """
    side = min(grey.shape[1], grey.shape[2], SPECTRUM_SIDE)
    top, left = (grey.shape[1] - side) // 2, (grey.shape[2] - side) // 2
    square = grey[:, top : top + side, left : left + side]
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
    profile = np.log(sums / np.bincount(rings)[1:] + 1e-8)
    x = np.log(np.arange(1, profile.shape[1] + 1))
    x = x - x.mean()
    slopes: Values = profile @ x / (x @ x) if len(x) > 1 else np.zeros(len(grey))
    return slopes
