"""Near copies within a set: pairs of images that agree after size, brightness and contrast are removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d

from distillab.data.examples import Examples, Indices
from distillab.modalities.embedding.embedding import FITTED_ON, batches, fitting_sample

_THUMBNAIL_SIDE = 16  # pixels
# Correlations, of two thumbnails and of the differences between their neighboring pixels, from which two
# images are near copies. Pen strokes on an empty background agree easily, so the thresholds are higher for
# gray images.
NEAR_THRESHOLDS = {1: (0.985, 0.985), 3: (0.95, 0.9)}
_HASH_BITS = 16
_HASH_TABLES = 8
_HASH_AXES = 32  # principal axes whose signs are the bits
_CROWDED = 32  # in a bucket with more images, each image is compared with its next neighbors only
_FLAT_SPREAD = 2.0 / 255  # standard deviation of a thumbnail below which there is nothing to compare
_BATCH = 10_000  # images or pairs per batch, which bounds the memory of the copies
_SEED = 7

Thumbnails = npt.NDArray[np.float32]


def find_near_copies(images: Examples) -> tuple[Indices, Indices]:
    """Return each pair of near copies once: positions int64 ``[P]`` of its first and of its second image.

    Candidates share one of several hashes, each of 16 signs of principal components of thumbnails (a
    perceptual hash learned from the images, whose bits are balanced). Two candidates are near copies if both
    their thumbnails and the details of these correlate, so that a smooth background does not decide.
    The work grows linearly with the number of images.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), np.uint8)
        >>> pixels[13] = pixels[4]
        >>> first, second = find_near_copies(Examples.of(pixels, [0] * 20, ("a", "b")))
        >>> first.tolist(), second.tolist()
        ([4], [13])
    """
    thumbnails = thumbnails_of(images)
    comparable = np.flatnonzero(thumbnails.any(axis=1))
    if len(comparable) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    everything = len(comparable) == len(images)
    candidates = _candidates(thumbnails if everything else thumbnails[comparable], images.select(comparable))
    side = thumbnail_side(images)
    found = []
    for start in range(0, len(candidates), _BATCH):
        part = comparable[candidates[start : start + _BATCH]]
        found.append(part[agree(thumbnails[part[:, 0]], thumbnails[part[:, 1]], images.shape[0], side)])
    pairs = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    return pairs[:, 0], pairs[:, 1]


def thumbnail_side(images: Examples) -> int:
    """Return the side of the thumbnails of some images, in pixels."""
    return min(_THUMBNAIL_SIDE, *images.shape[1:])


def thumbnails_of(images: Examples) -> Thumbnails:
    """Return centered thumbnails of length 1, float32 ``[N, C * side * side]``; zeros for flat images."""
    side = thumbnail_side(images)
    found = np.empty((len(images), images.shape[0] * side * side), np.float32)
    for rows in batches(images):
        small = adaptive_avg_pool2d(torch.from_numpy(images.pixels(rows)).float() / 255, side).flatten(1)
        small -= small.mean(dim=1, keepdim=True)
        flat = small.std(dim=1, keepdim=True) < _FLAT_SPREAD
        found[rows] = (small / small.norm(dim=1, keepdim=True).clamp(min=1e-9)).masked_fill(flat, 0).numpy()
    return found


def _candidates(thumbnails: Thumbnails, images: Examples) -> Indices:
    """Return the pairs that share a hash, int64 ``[P, 2]``, first < second, each once."""
    sample = np.isin(images.ids, fitting_sample(images, FITTED_ON).ids)
    mean = thumbnails[sample].mean(axis=0)
    centered = thumbnails[sample] - mean
    _, vectors = np.linalg.eigh(centered.T @ centered)
    axes = vectors[:, ::-1][:, :_HASH_AXES]
    starts = range(0, len(thumbnails), _BATCH)
    signs = np.concatenate([(thumbnails[s : s + _BATCH] - mean) @ axes > 0 for s in starts])
    rng = np.random.default_rng(_SEED)
    width = signs.shape[1]
    found, n = [], len(thumbnails)
    for _ in range(_HASH_TABLES):
        chosen = rng.permutation(width)[:_HASH_BITS]
        hashes = signs[:, chosen] @ (1 << np.arange(len(chosen)))
        found.append(_pairs_of_bucket_mates(hashes, n))
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // n, codes % n], axis=1)


def _pairs_of_bucket_mates(hashes: Indices, n: int) -> Indices:
    """Return the pairs with equal hashes, each encoded as ``first * n + second``: int64."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    found = []
    for step in range(1, _CROWDED):
        same = np.flatnonzero(ordered[step:] == ordered[:-step])
        if not len(same):
            break
        first, second = order[same], order[same + step]
        found.append(np.minimum(first, second) * n + np.maximum(first, second))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def agree(first: Thumbnails, second: Thumbnails, channels: int, side: int) -> npt.NDArray[np.bool_]:
    """Return which pairs agree both in their thumbnails and in the details of these: bool ``[P]``."""
    threshold, detail_threshold = NEAR_THRESHOLDS[channels]
    alike: npt.NDArray[np.bool_] = np.einsum("pf,pf->p", first, second) >= threshold
    rows = np.flatnonzero(alike)
    if not len(rows):
        return alike
    shape = (-1, channels, side, side)
    details = [_details(part[rows].reshape(shape)) for part in (first, second)]
    alike[rows] = np.einsum("pf,pf->p", *details) >= detail_threshold
    return alike


def _details(thumbnails: Thumbnails) -> Thumbnails:
    """Return differences between neighboring pixels, scaled to length 1: float32 ``[P, F]``."""
    down = np.diff(thumbnails, axis=2).reshape(len(thumbnails), -1)
    across = np.diff(thumbnails, axis=3).reshape(len(thumbnails), -1)
    both = np.hstack([down, across])
    return np.asarray(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9), np.float32)
