"""Generated images: each is a function of its number and is computed on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from distillab.canonical import JsonObject, spec_id
from distillab.data.derived import DerivedItems, Unchanged
from distillab.data.examples import Examples, Indices, ItemShape, Pixels, Pool
from distillab.data.targets import UNLABELLED, Labels

MOST = 2**18
"""Number of images of one generator: at 32 pixels in color they fit into memory once computed."""
GENERATED = 2**62
"""Ids of generated images start here."""
_KEYS = 2**43


class Maker(Protocol):
    """Computes images from numbers, and from nothing else."""

    @property
    def facts(self) -> JsonObject:
        """Everything that determines the result, JSON-able: it is part of content addresses."""

    def __call__(self, numbers: Indices, shape: ItemShape, /) -> Pixels:
        """Return one image per number (int64 ``[N]``), uint8 ``[N, C, H, W]``."""


@dataclass(frozen=True, eq=False)
class GeneratedPixels:
    """The images number 0 to :data:`MOST` - 1 of a generator, as the items of a pool.

    Attributes:
        maker: The generator.
        image: Shape of one image.
    """

    maker: Maker
    image: ItemShape

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """``(MOST, C, H, W)``."""
        return (MOST, *self.image)

    def __len__(self) -> int:
        return MOST

    def __getitem__(self, rows: Any, /) -> Pixels:
        """Return the images at ``rows``: an int64 array or a slice."""
        wanted = np.arange(MOST)[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        return self.maker(wanted, self.image)


def generated(maker: Maker, number: int, shape: ItemShape, classes: tuple[str, ...], key: int) -> Examples:
    """Return the first images of a generator, without labels; nothing is computed yet.

    Sets of different lengths share their pool. Ids follow from ``key`` and the number of the image, and are
    larger than those of images that were read.

    Args:
        maker: The generator.
        number: How many images.
        shape: Shape of one image: channels, height, width.
        classes: Class names of the set.
        key: Distinguishes the ids of different generators.

    Raises:
        ValueError: ``number`` exceeds :data:`MOST`.
    """
    if number > MOST:
        raise ValueError(f"{number} images are more than {MOST}")
    digest = spec_id({"generated": dict(maker.facts), "shape": list(shape)})
    items = DerivedItems(GeneratedPixels(maker, shape), (Unchanged(),), keep=True)
    rows = np.arange(number, dtype=np.int64)
    ids = GENERATED + (key % _KEYS) * MOST + rows
    labels = Labels(np.full(number, UNLABELLED, dtype=np.int64), len(classes))
    return Examples(Pool(items, digest), rows, labels, classes, ids)
