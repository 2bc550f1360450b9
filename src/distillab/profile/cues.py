"""Features of an image that leave out its subject: border, background, color, focus, file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from distillab.data.examples import Examples, Indices, Pixels
from distillab.modalities.embedding.embedding import batches
from distillab.profile.image_statistics import luma

CueFeatures = npt.NDArray[np.float64]
_BORDER_SIDE = 16  # pixels; smaller images have no border apart from the subject
_COLOR_BINS = 4  # per channel, in the color histogram of the background


@dataclass(frozen=True)
class ImageCue:
    """A feature that should not reveal the class.

    Attributes:
        label: Name shown to users.
        about: What it consists of.
        extract: From uint8 ``[B, C, H, W]`` to float ``[B, F]``; None if it comes from the file.
        smallest: Side in pixels from which it is meaningful.
        middle: The same features of the middle of the image, where the subject is; None if the cue has no
            place in the image.
    """

    label: str
    about: str
    extract: Callable[[Pixels], npt.NDArray[np.floating[Any]]] | None = None
    smallest: int = 0
    middle: Callable[[Pixels], npt.NDArray[np.floating[Any]]] | None = None


def middle_of(pixels: Pixels) -> Pixels:
    """Return the middle half of each side of the images."""
    height, width = pixels.shape[2:]
    return np.ascontiguousarray(
        pixels[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4]
    )


def border(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return colors along the outermost sixteenth of the image (at least one pixel), 8 places per side."""
    height, width = pixels.shape[2:]
    high, wide = max(1, height // 16), max(1, width // 16)
    scaled = torch.from_numpy(pixels).float() / 255
    strips = [
        scaled[:, :, :high].mean(dim=2),
        scaled[:, :, -high:].mean(dim=2),
        scaled[:, :, :, :wide].mean(dim=3),
        scaled[:, :, :, -wide:].mean(dim=3),
    ]
    places = [adaptive_avg_pool2d(strip[:, :, None], (1, 8)).flatten(1) for strip in strips]
    found: npt.NDArray[np.float32] = torch.cat(places, dim=1).numpy()
    return found


def background(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return square roots of the shares of 64 colors (16 grays) outside of the inscribed ellipse."""
    height, width = pixels.shape[2:]
    down = (np.arange(height) + 0.5) / height * 2 - 1
    across = (np.arange(width) + 0.5) / width * 2 - 1
    outside = np.flatnonzero((down[:, None] ** 2 + across**2 > 1).reshape(-1))
    return _color_histogram(pixels, outside)


def _color_histogram(pixels: Pixels, places: Indices) -> npt.NDArray[np.float32]:
    """Return square roots of the shares of 64 colors (16 grays) at some places of the flattened image."""
    seen = pixels.reshape(len(pixels), pixels.shape[1], -1)[:, :, places]
    if pixels.shape[1] == 1:
        bins, codes = 16, seen[:, 0].astype(np.int64) // 16
    else:
        steps = seen.astype(np.int64) // (256 // _COLOR_BINS)
        bins, codes = _COLOR_BINS**3, (steps[:, 0] * _COLOR_BINS + steps[:, 1]) * _COLOR_BINS + steps[:, 2]
    codes += np.arange(len(pixels))[:, None] * bins
    counts = np.bincount(codes.reshape(-1), minlength=len(pixels) * bins).reshape(len(pixels), bins)
    return np.sqrt(counts / len(places)).astype(np.float32)


def middle_border(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return :func:`border` of the middle of the image."""
    return border(middle_of(pixels))


def middle_colors(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return square roots of the shares of 64 colors (16 grays) in the middle of the image."""
    middle = middle_of(pixels)
    return _color_histogram(middle, np.arange(middle.shape[2] * middle.shape[3]))


def mean_color(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return mean and standard deviation of each channel over the whole image."""
    scaled = pixels.astype(np.float32) / 255
    return np.hstack([scaled.mean(axis=(2, 3)), scaled.std(axis=(2, 3))])


def acquisition(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return features of focus, noise and compression: moments of the detail of luma at four scales.

    Three moments per scale separate few strong edges from many weak ones.
    """
    gray = torch.from_numpy(luma(pixels))[:, None]
    found = []
    for _ in range(4):
        if min(gray.shape[2:]) < 4:
            break
        small = adaptive_avg_pool2d(gray, (max(2, gray.shape[2] // 2), max(2, gray.shape[3] // 2)))
        detail = (gray - interpolate(small, gray.shape[2:], mode="bilinear")).abs().flatten(1)
        means = detail.sqrt().mean(dim=1), detail.mean(dim=1), detail.square().mean(dim=1).sqrt()
        found += [torch.log(mean + 1e-3) for mean in means]
        gray = small
    values: npt.NDArray[np.float32] = torch.stack(found, dim=1).numpy()
    return values


CUES: dict[str, ImageCue] = {
    "border": ImageCue("border", "colors of the outermost sixteenth", border, _BORDER_SIDE, middle_border),
    "background": ImageCue(
        "background", "colors outside of the largest ellipse", background, _BORDER_SIDE, middle_colors
    ),
    "mean_colour": ImageCue("mean color", "mean and standard deviation of each channel", mean_color),
    "acquisition": ImageCue(
        "focus and noise", "strength of fine detail at four scales", acquisition, _BORDER_SIDE
    ),
    "file_size": ImageCue("file size", "bytes of the file, and bytes per pixel"),
    "image_size": ImageCue("image size", "width, height and their ratio before resizing"),
}
"""The keys are part of ``profile --json``."""


def cue_features(
    name: str, images: Examples, positions: Indices, columns: dict[str, Indices]
) -> CueFeatures | None:
    """Return a cue of the images at ``positions``: float64 ``[len(positions), F]``.

    Args:
        name: A key of :data:`CUES`.
        images: The images.
        positions: int64.
        columns: Those of ``bytes``, ``width`` and ``height`` that are known for the files of all images.

    Returns:
        The features that vary between images; None if none does or the cue is not available.
    """
    cue = CUES[name]
    if cue.extract is not None:
        if min(images.shape[1:]) < cue.smallest:
            return None
        return image_features(cue.extract, images.select(positions))
    else:
        needed = ("bytes",) if name == "file_size" else ("width", "height")
        if not all(column in columns for column in needed):
            return None
        logs = {key: np.log(column[positions].astype(np.float64)) for key, column in columns.items()}
        found = _file_size(logs) if name == "file_size" else _image_size(logs)
    return _varying(found)


def image_features(
    extract: Callable[[Pixels], npt.NDArray[np.floating[Any]]], images: Examples
) -> CueFeatures | None:
    """Return the features that vary between images, float64 ``[N, F]``; None if none does."""
    return _varying(
        np.concatenate([extract(images.pixels(rows)) for rows in batches(images)]).astype(np.float64)
    )


def _varying(found: CueFeatures) -> CueFeatures | None:
    varying = found.std(axis=0) > 1e-6
    return found[:, varying] if varying.any() else None


def _file_size(logs: dict[str, CueFeatures]) -> CueFeatures:
    parts = [logs["bytes"]]
    if "width" in logs and "height" in logs:
        parts.append(logs["bytes"] - logs["width"] - logs["height"])
    return np.stack(parts, axis=1)


def _image_size(logs: dict[str, CueFeatures]) -> CueFeatures:
    return np.stack([logs["width"], logs["height"], logs["width"] - logs["height"]], axis=1)
