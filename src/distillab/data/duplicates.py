"""Exact duplicates: identical items within a split or across splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import numpy.typing as npt

from distillab.canonical import chunked_digest
from distillab.data.examples import IMAGE, Examples, Indices, Items, ItemStore, Pool, chunks
from distillab.data.raw import Progress
from distillab.data.targets import Targets

Parts = npt.NDArray[np.int8]
"""int8 ``[N]``, the split of each example: its position in :data:`SPLITS`."""

SPLITS = ("train", "val", "test")
HASHED_AT_ONCE = 64  # items


def content(
    items: ItemStore, progress: Progress | None = None, *, modality: str = IMAGE
) -> tuple[Pool, Indices]:
    """Return the pool of some items, and the position of the first item identical to each, int64 ``[N]``.

    Items are compared by a 128-bit hash, so different ones share a code with a probability below 1e-25. They
    are read once, for their content address as well, because they may lie on a disk.

    Args:
        items: ``[N, ...]``.
        progress: Called with ``("comparing", done, N)``.
        modality: Name of the modality of the items.

    Example:
        >>> images = np.zeros((3, 1, 4, 4), np.uint8)
        >>> images[1] = 255
        >>> content(images)[1]
        array([0, 1, 0])
    """
    first: dict[bytes, int] = {}
    codes: list[int] = []
    with ThreadPoolExecutor(1) as beside:

        def passing() -> Iterator[Items]:
            for chunk in chunks(items):
                hashes = beside.submit(_hashes, chunk)
                yield chunk  # its content address is computed meanwhile
                codes.extend(
                    first.setdefault(each, row) for row, each in enumerate(hashes.result(), len(codes))
                )
                if progress:
                    progress("comparing", len(codes), len(items))

        pool = Pool(items, chunked_digest(items.shape, items.dtype, passing()), modality)
    return pool, np.array(codes, dtype=np.int64)


def _hashes(items: Items) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(item).data, digest_size=16).digest() for item in items]


def hashes_of(sets: Iterable[Examples]) -> set[bytes]:
    """Return the hashes of the items of some sets, of any pools."""
    return {each for examples in sets for each in _hashes_of(examples)}


def found_in(examples: Examples, known: Set[bytes]) -> npt.NDArray[np.bool_]:
    """Return which examples have an item among those of :func:`hashes_of`, bool ``[N]``."""
    _, owners = examples.each_part()
    is_known = np.fromiter((each in known for each in _hashes_of(examples)), dtype=bool, count=len(owners))
    found = np.zeros(len(examples), dtype=bool)
    found[owners[is_known]] = True
    return found


def _hashes_of(examples: Examples) -> Iterator[bytes]:
    items, _ = examples.each_part()
    positions = np.arange(len(items))
    for start in range(0, len(items), HASHED_AT_ONCE):
        yield from _hashes(items.items(positions[start : start + HASHED_AT_ONCE]))


def count_across(codes: Indices, parts: Parts) -> dict[str, int]:
    """Return how many examples of one split are also in a later one: train/val, train/test and val/test.

    Example:
        >>> count_across(np.array([0, 1, 0, 3]), np.array([0, 0, 2, 1], dtype=np.int8))
        {'train/val': 0, 'train/test': 1, 'val/test': 0}
    """
    return {
        f"{SPLITS[a]}/{SPLITS[b]}": int(np.isin(codes[parts == a], codes[parts == b]).sum())
        for a, b in combinations(range(len(SPLITS)), 2)
    }


def leaks(codes: Indices, parts: Parts) -> npt.NDArray[np.bool_]:
    """Return which examples are also in a later split (train in val or test, val in test), bool ``[N]``."""
    found = np.zeros(len(codes), dtype=bool)
    for earlier in range(len(SPLITS) - 1):
        mask = parts == earlier
        found[mask] = np.isin(codes[mask], codes[parts > earlier])
    return found


def repeats(codes: Indices, targets: Targets) -> tuple[int, int]:
    """Return how many examples of a set repeat an earlier one, and how many of these with other targets."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    origin = first[inverse]
    repeated = origin != np.arange(len(codes))
    values = targets.values.reshape(len(codes), -1)
    return int(repeated.sum()), int((values[origin] != values).any(axis=1)[repeated].sum())
