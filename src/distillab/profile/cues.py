"""Cues: what is to be seen of an image without looking at its subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from distillab.data.examples import Examples, Indices, Pixels
from distillab.modalities.image.embedding.embedding import batches
from distillab.profile.image_statistics import luma

Features = npt.NDArray[np.float64]
SMALLEST_SIDE = 16  # pixels; below it there is no border that is not the subject
COLOURS = 4  # bins a channel of the colours of the background


@dataclass(frozen=True)
class Cue:
    """One cue.

    Attributes:
        label: its name for people.
        about: what is looked at.
        see: from uint8 ``[B, C, H, W]`` to float ``[B, F]``; None if it is not in the pixels.
        smallest: side in pixels from which it means anything.
    """

    label: str
    about: str
    see: Callable[[Pixels], npt.NDArray[np.floating[Any]]] | None = None
    smallest: int = 0


def border(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Colours along the outermost sixteenth of the image (at least one pixel), eight places a side."""
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
    """How often each of 64 colours (16 greys) occurs outside of the ellipse that fills the image."""
    height, width = pixels.shape[2:]
    down = (np.arange(height) + 0.5) / height * 2 - 1
    across = (np.arange(width) + 0.5) / width * 2 - 1
    outside = np.flatnonzero((down[:, None] ** 2 + across**2 > 1).reshape(-1))
    seen = pixels.reshape(len(pixels), pixels.shape[1], -1)[:, :, outside]
    if pixels.shape[1] == 1:
        bins, codes = 16, seen[:, 0].astype(np.int64) // 16
    else:
        steps = seen.astype(np.int64) // (256 // COLOURS)
        bins, codes = COLOURS**3, (steps[:, 0] * COLOURS + steps[:, 1]) * COLOURS + steps[:, 2]
    codes += np.arange(len(pixels))[:, None] * bins
    counts = np.bincount(codes.reshape(-1), minlength=len(pixels) * bins).reshape(len(pixels), bins)
    return np.sqrt(counts / len(outside)).astype(np.float32)


def mean_colour(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Mean and spread of each channel over the whole image."""
    scaled = pixels.astype(np.float32) / 255
    return np.hstack([scaled.mean(axis=(2, 3)), scaled.std(axis=(2, 3))])


def acquisition(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Focus, noise and compression: moments of the detail of luma at four scales, few strong edges told from
    many weak ones."""
    grey = torch.from_numpy(luma(pixels))[:, None]
    found = []
    for _ in range(4):
        if min(grey.shape[2:]) < 4:
            break
        small = adaptive_avg_pool2d(grey, (max(2, grey.shape[2] // 2), max(2, grey.shape[3] // 2)))
        detail = (grey - interpolate(small, grey.shape[2:], mode="bilinear")).abs().flatten(1)
        means = detail.sqrt().mean(dim=1), detail.mean(dim=1), detail.square().mean(dim=1).sqrt()
        found += [torch.log(mean + 1e-3) for mean in means]
        grey = small
    values: npt.NDArray[np.float32] = torch.stack(found, dim=1).numpy()
    return values


CUES: dict[str, Cue] = {
    "border": Cue("border", "colours of the outermost sixteenth", border, SMALLEST_SIDE),
    "background": Cue("background", "colours outside of the largest ellipse", background, SMALLEST_SIDE),
    "mean_colour": Cue("mean colour", "mean and spread of each channel", mean_colour),
    "acquisition": Cue(
        "focus and noise", "strength of fine detail at four scales", acquisition, SMALLEST_SIDE
    ),
    "file_size": Cue("file size", "bytes of the file, and bytes a pixel"),
    "image_size": Cue("image size", "width, height and their ratio before resizing"),
}


def cue_features(
    name: str, images: Examples, positions: Indices, columns: dict[str, Indices]
) -> Features | None:
    """A cue of the images at ``positions``: float64 ``[len(positions), F]``; None if it does not vary.

    Args:
        name: a key of :data:`CUES`.
        images: the set.
        positions: int64.
        columns: facts of the files of all images, as far as known: ``bytes``, ``width``, ``height``.
    """
    cue = CUES[name]
    if cue.see is not None:
        if min(images.shape[1:]) < cue.smallest:
            return None
        chosen = images.select(positions)
        found = np.concatenate([cue.see(chosen.pixels(rows)) for rows in batches(chosen)]).astype(np.float64)
    else:
        needed = ("bytes",) if name == "file_size" else ("width", "height")
        if not all(column in columns for column in needed):
            return None
        logs = {key: np.log(column[positions].astype(np.float64)) for key, column in columns.items()}
        found = _file_size(logs) if name == "file_size" else _image_size(logs)
    varying = found.std(axis=0) > 1e-6
    return found[:, varying] if varying.any() else None


def _file_size(logs: dict[str, Features]) -> Features:
    parts = [logs["bytes"]]
    if "width" in logs and "height" in logs:
        parts.append(logs["bytes"] - logs["width"] - logs["height"])
    return np.stack(parts, axis=1)


def _image_size(logs: dict[str, Features]) -> Features:
    return np.stack([logs["width"], logs["height"], logs["width"] - logs["height"]], axis=1)
