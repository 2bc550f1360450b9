"""Images that nobody took: each is a function of its number, and is made when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from distillab.canonical import spec_id
from distillab.data.derived import DerivedPixels, Unchanged
from distillab.data.examples import Examples, Indices, Pixels, Pool
from distillab.data.targets import UNLABELLED

MOST = 2**18  # images of one kind: of 32 pixels in colour, they are just kept in memory once made
GENERATED = 2**62  # ids of generated images begin here
_KEYS = 2**43


class Maker(Protocol):
    """Makes images from numbers, and from nothing else."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that decides what comes out, JSON-able: it is part of content addresses."""

    def __call__(self, numbers: Indices, shape: tuple[int, int, int], /) -> Pixels:
        """One image a number (int64 ``[N]``), uint8 ``[N, C, H, W]``."""


@dataclass(frozen=True, eq=False)
class GeneratedPixels:
    """The images number 0 to :data:`MOST` - 1 of a maker, as the pixels of a pool."""

    maker: Maker
    image: tuple[int, int, int]

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        return (MOST, *self.image)

    def __len__(self) -> int:
        return MOST

    def __getitem__(self, rows: Any, /) -> Pixels:
        """The pixels at ``rows``: an int64 array or a slice."""
        wanted = np.arange(MOST)[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        return self.maker(wanted, self.image)


def generated(
    maker: Maker, number: int, shape: tuple[int, int, int], classes: tuple[str, ...], key: int
) -> Examples:
    """The first ``number`` images of a maker, without labels. No pixel is computed here.

    Their ids follow from ``key`` and their number, and lie beyond those of images that were read. Sets of
    other lengths share the pool.
    """
    if number > MOST:
        raise ValueError(f"{number} images are more than {MOST}")
    digest = spec_id({"generated": dict(maker.facts), "shape": list(shape)})
    pixels = DerivedPixels(GeneratedPixels(maker, shape), (Unchanged(),), keep=True)
    rows = np.arange(number, dtype=np.int64)
    ids = GENERATED + (key % _KEYS) * MOST + rows
    return Examples(Pool(pixels, digest), rows, np.full(number, UNLABELLED, dtype=np.int64), classes, ids)
