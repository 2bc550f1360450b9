"""Exact duplicates: the same pixels more than once, within a split or across splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import numpy.typing as npt

from distillab.canonical import chunked_digest
from distillab.data.examples import Examples, Indices, Pixels, PixelStore, Pool, chunks
from distillab.data.raw import Progress

Parts = npt.NDArray[np.int8]
"""int8 ``[N]``, the split of each image: its position in :data:`SPLITS`."""

SPLITS = ("train", "val", "test")
AT_ONCE = 64  # images


def content(pixels: PixelStore, progress: Progress | None = None) -> tuple[Pool, Indices]:
    """The pool of images uint8 ``[N, C, H, W]``, and the position of the first like each: int64 ``[N]``.

    Pixels are compared by a 128-bit hash, so images that differ share a code with a chance below 1e-25. They
    are gone through once, for their content address as well, because they may lie on a disk. ``progress`` is
    called with ``("comparing", done, N)``.
    """
    first: dict[bytes, int] = {}
    codes: list[int] = []
    with ThreadPoolExecutor(1) as beside:

        def passing() -> Iterator[Pixels]:
            for chunk in chunks(pixels):
                hashes = beside.submit(_hashes, chunk)
                yield chunk  # goes into the content address meanwhile
                codes.extend(
                    first.setdefault(each, row) for row, each in enumerate(hashes.result(), len(codes))
                )
                if progress:
                    progress("comparing", len(codes), len(pixels))

        pool = Pool(pixels, chunked_digest(pixels.shape, pixels.dtype, passing()))
    return pool, np.array(codes, dtype=np.int64)


def _hashes(images: Pixels) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def hashes_of(sets: Iterable[Examples]) -> set[bytes]:
    """What the pixels of some sets, of any pools, are known by."""
    return {each for images in sets for each in _hashes_of(images)}


def found_in(images: Examples, known: Set[bytes]) -> npt.NDArray[np.bool_]:
    """Which of some images are among those of :func:`hashes_of`: bool ``[N]``."""
    return np.fromiter((each in known for each in _hashes_of(images)), dtype=bool, count=len(images))


def _hashes_of(images: Examples) -> Iterator[bytes]:
    positions = np.arange(len(images))
    for start in range(0, len(images), AT_ONCE):
        yield from _hashes(images.pixels(positions[start : start + AT_ONCE]))


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
