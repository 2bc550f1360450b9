"""Near copies between splits: every image of one set that has a near copy in another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from distillab.data.examples import Examples, Indices
from distillab.data.raw import Progress
from distillab.modalities.embedding.near_copies import (
    NEAR_THRESHOLDS,
    Thumbnails,
    agree,
    thumbnail_side,
    thumbnails_of,
)

_SKETCH_SIDE = {1: 8, 3: 4}  # by the number of channels: 64 and 48 values per image
_SLACK = 1e-3  # of a squared distance, for rounding in 32 bits
_QUERIES = 256  # images per product: 50 MB of distances with 50,000 candidates
_PAIRS = 4096  # pairs of thumbnails in memory at a time
_BATCH = 8192  # images whose thumbnails are in memory at a time


def near_pairs(
    first: Examples, second: Examples, progress: Progress | None = None
) -> tuple[Indices, Indices]:
    """Return all pairs of near copies between two sets of images.

    Two images are near copies as in :func:`~distillab.modalities.embedding.near_copies.find_near_copies`, but
    none is missed: thumbnails that agree have a distance below a bound, and so do their averages over blocks,
    which are compared first. Identical images are no near copies. The work grows with the product of the
    numbers of images.

    Args:
        first: N images.
        second: M images of the same shape.
        progress: Called with ``("near copies", done, M)``.

    Returns:
        Positions in the first and in the second set, int64 ``[P]`` each, ordered by the second.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 200, (20, 1, 8, 8), np.uint8)
        >>> train = Examples.of(pixels, [0] * 20, ("a", "b"))
        >>> brighter, same = pixels[4] + np.uint8(9), pixels[7]
        >>> test = Examples.of(np.stack([brighter, same]), [0, 0], ("a", "b"))
        >>> near_pairs(train, test)
        (array([4]), array([0]))
    """
    found = [np.zeros((0, 2), np.int64)]
    if len(first) and len(second):
        for pairs in _alike(first, second, progress):
            for start in range(0, len(pairs), _PAIRS):
                found.append(_verified(first, second, pairs[start : start + _PAIRS]))
    every = np.concatenate(found)
    return every[:, 0], every[:, 1]


def _alike(first: Examples, second: Examples, progress: Progress | None) -> Iterator[Indices]:
    """Yield pairs whose sketches are near enough for the thumbnails to agree, int64 ``[P, 2]``."""
    threshold, _ = NEAR_THRESHOLDS[first.shape[0]]
    most = 2 - 2 * threshold + _SLACK
    candidates, comparable = _sketches(first)
    candidates[~comparable] = 1e3  # flat images have no detail to compare
    queries, comparable_too = _sketches(second)
    own = torch.from_numpy((candidates**2).sum(axis=1))
    columns = torch.from_numpy(candidates).T
    for start in range(0, len(queries), _QUERIES):
        part = torch.from_numpy(queries[start : start + _QUERIES])
        distances = torch.addmm(own[None], part, columns, alpha=-2) + (part**2).sum(dim=1, keepdim=True)
        rows, places = torch.nonzero(distances <= most, as_tuple=True)
        pairs = np.stack([places.numpy(), rows.numpy() + start], axis=1)
        yield pairs[comparable_too[pairs[:, 1]]]
        if progress:
            progress("near copies", min(start + _QUERIES, len(queries)), len(queries))


def _sketches(images: Examples) -> tuple[Thumbnails, npt.NDArray[np.bool_]]:
    """Return averages over blocks of the thumbnails, and which images are not flat.

    They are scaled so that a distance between two sketches is at most that between their thumbnails.
    """
    side, channels = thumbnail_side(images), images.shape[0]
    small = _SKETCH_SIDE[channels]
    block = side // small if side % small == 0 else 1
    sketches, comparable = [], []
    for start in range(0, len(images), _BATCH):
        thumbnails = thumbnails_of(images.select(np.arange(start, min(start + _BATCH, len(images)))))
        grid = thumbnails.reshape(len(thumbnails), channels, side // block, block, side // block, block)
        sketches.append((grid.sum(axis=(3, 5)) / block).reshape(len(thumbnails), -1))
        comparable.append(thumbnails.any(axis=1))
    return np.concatenate(sketches), np.concatenate(comparable)


def _verified(first: Examples, second: Examples, pairs: Indices) -> Indices:
    """Return the pairs whose thumbnails agree and whose pixels differ, int64 ``[P, 2]``."""
    sides = []
    for examples, column in ((first, pairs[:, 0]), (second, pairs[:, 1])):
        unique, back = np.unique(column, return_inverse=True)
        sides.append(thumbnails_of(examples.select(unique))[back])
    pairs = pairs[agree(sides[0], sides[1], first.shape[0], thumbnail_side(first))]
    same = (first.pixels(pairs[:, 0]) == second.pixels(pairs[:, 1])).all(axis=(1, 2, 3))
    return np.asarray(pairs[~same])
