"""Near copies: pairs of images that agree once size, brightness and contrast are taken out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d

from distillab.data.examples import Examples, Indices
from distillab.modalities.image.embedding.embedding import FITTED_ON, batches, fitting_sample

SIDE = 16  # pixels of a thumbnail
# Correlations, of two thumbnails and of the differences between their neighbouring pixels, from which two
# images are near copies. Pen strokes on an empty ground agree easily, so grey images are asked for more.
AGREE = {1: (0.985, 0.985), 3: (0.95, 0.9)}
BITS = 16  # of a hash
TABLES = 8
AXES = 32  # that hashes are taken from
CROWDED = 32  # images under one hash; of more, each is compared with its next neighbours only
FLAT = 2.0 / 255  # spread of a thumbnail below which there is nothing to compare
CHUNK = 10_000  # images or pairs at a time: they are copied, and there may be many
_SEED = 7

Thumbnails = npt.NDArray[np.float32]


def copies(images: Examples) -> tuple[Indices, Indices]:
    """Pairs of near copies, each once: positions int64 ``[P]`` of the first and of the second.

    Candidates share one of several hashes, each of 16 signs of principal components of thumbnails (a
    perceptual hash learned from the images: its bits are balanced). Two of them are near copies if their
    thumbnails agree, and their details do too, so that a smooth background does not decide.
    Work grows with the number of images, not with its square.
    """
    thumbnails = _thumbnails(images)
    lively = np.flatnonzero(thumbnails.any(axis=1))
    if len(lively) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    everything = len(lively) == len(images)
    candidates = _candidates(thumbnails if everything else thumbnails[lively], images.select(lively))
    side = min(SIDE, *images.shape[1:])
    found = []
    for start in range(0, len(candidates), CHUNK):
        part = lively[candidates[start : start + CHUNK]]
        found.append(part[_agree(thumbnails, part, images.shape[0], side)])
    pairs = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    return pairs[:, 0], pairs[:, 1]


def _thumbnails(images: Examples) -> Thumbnails:
    """Centred, of length 1: float32 ``[N, C * side * side]``; zeros for flat images."""
    side = min(SIDE, *images.shape[1:])
    found = np.empty((len(images), images.shape[0] * side * side), np.float32)
    for rows in batches(images):
        small = adaptive_avg_pool2d(torch.from_numpy(images.pixels(rows)).float() / 255, side).flatten(1)
        small -= small.mean(dim=1, keepdim=True)
        flat = small.std(dim=1, keepdim=True) < FLAT
        found[rows] = (small / small.norm(dim=1, keepdim=True).clamp(min=1e-9)).masked_fill(flat, 0).numpy()
    return found


def _candidates(thumbnails: Thumbnails, images: Examples) -> Indices:
    """Pairs that share a hash, int64 ``[P, 2]``, first < second, each once."""
    sample = np.isin(images.ids, fitting_sample(images, FITTED_ON).ids)
    middle = thumbnails[sample].mean(axis=0)
    centred = thumbnails[sample] - middle
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :AXES]
    starts = range(0, len(thumbnails), CHUNK)
    signs = np.concatenate([(thumbnails[s : s + CHUNK] - middle) @ axes > 0 for s in starts])
    rng = np.random.default_rng(_SEED)
    width = signs.shape[1]
    found, n = [], len(thumbnails)
    for _ in range(TABLES):
        chosen = rng.permutation(width)[:BITS]
        hashes = signs[:, chosen] @ (1 << np.arange(len(chosen)))
        found.append(_sharing(hashes, n))
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // n, codes % n], axis=1)


def _sharing(hashes: Indices, n: int) -> Indices:
    """Pairs under one hash, each as first * n + second: int64."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    found = []
    for step in range(1, CROWDED):
        same = np.flatnonzero(ordered[step:] == ordered[:-step])
        if not len(same):
            break
        first, second = order[same], order[same + step]
        found.append(np.minimum(first, second) * n + np.maximum(first, second))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _agree(thumbnails: Thumbnails, pairs: Indices, channels: int, side: int) -> npt.NDArray[np.bool_]:
    """Which pairs agree in their thumbnails and in the details of them: bool ``[P]``."""
    enough, enough_of_details = AGREE[channels]
    first, second = thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]]
    alike: npt.NDArray[np.bool_] = np.einsum("pf,pf->p", first, second) >= enough
    rows = np.flatnonzero(alike)
    if not len(rows):
        return alike
    shape = (-1, channels, side, side)
    details = [_details(part[rows].reshape(shape)) for part in (first, second)]
    alike[rows] = np.einsum("pf,pf->p", *details) >= enough_of_details
    return alike


def _details(thumbnails: Thumbnails) -> Thumbnails:
    """Differences between neighbours, of length 1: float32 ``[P, F]``."""
    down = np.diff(thumbnails, axis=2).reshape(len(thumbnails), -1)
    across = np.diff(thumbnails, axis=3).reshape(len(thumbnails), -1)
    both = np.hstack([down, across])
    return np.asarray(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9), np.float32)
