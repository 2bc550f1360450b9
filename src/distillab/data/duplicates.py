"""Exact duplicates: the same pixels more than once, within a split or across splits."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import numpy.typing as npt

from distillab.data.imageset import Indices, PixelStore, chunks

Parts = npt.NDArray[np.int8]
"""int8 ``[N]``, the split of each image: its position in :data:`SPLITS`."""

SPLITS = ("train", "val", "test")


def content_codes(pixels: PixelStore) -> Indices:
    """For each of the images uint8 ``[N, C, H, W]``, the position of the first like it: int64 ``[N]``.

    Pixels are compared by a 128-bit hash, so images that differ share a code with a chance below 1e-25.
    """
    first: dict[bytes, int] = {}
    codes = np.empty(len(pixels), dtype=np.int64)
    images = (image for chunk in chunks(pixels) for image in chunk)
    for row, image in enumerate(images):
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        codes[row] = first.setdefault(digest, row)
    return codes


def count_across(codes: Indices, parts: Parts) -> dict[str, int]:
    """How many images of one split also stand in a later one: train/val, train/test and val/test."""
    return {
        f"{SPLITS[a]}/{SPLITS[b]}": int(np.isin(codes[parts == a], codes[parts == b]).sum())
        for a, b in combinations(range(len(SPLITS)), 2)
    }


def leaks(codes: Indices, parts: Parts) -> npt.NDArray[np.bool_]:
    """Which images also stand in a later split (train in val or test, val in test): bool ``[N]``."""
    found = np.zeros(len(codes), dtype=bool)
    for earlier in range(len(SPLITS) - 1):
        mask = parts == earlier
        found[mask] = np.isin(codes[mask], codes[parts > earlier])
    return found


def repeats(codes: Indices, labels: Indices) -> tuple[int, int]:
    """(images that repeat an earlier one, how many of those under another label) within one set."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    repeated = first[inverse] != np.arange(len(codes))
    return int(repeated.sum()), int((labels[first[inverse]] != labels)[repeated].sum())
