"""Facts of the files that images come from, which are lost once the images are decoded and resized."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distillab.data.examples import Indices
from distillab.data.raw import RawImage, StoredBytes
from distillab.machine import usable_cores
from distillab.modalities.image.opening import DAMAGE, displayed_size, permissive_pillow

UNKNOWN = -1
TASK_IMAGES = 256


@dataclass(frozen=True, eq=False)
class FileFacts:
    """One entry per image, in the order of ids; ``-1`` where a value is not known.

    Attributes:
        ids: int64 ``[N]``, sorted.
        names: N paths or row names.
        sizes: int64 ``[N]``, encoded bytes; not known for arrays and loaders.
        widths: int64 ``[N]``, pixels before any resizing, after EXIF rotation; not known for loaders.
        heights: int64 ``[N]``, likewise.
    """

    ids: Indices
    names: tuple[str, ...]
    sizes: Indices
    widths: Indices
    heights: Indices

    @classmethod
    def of(cls, images: Sequence[RawImage], names: Sequence[str], ids: Indices) -> FileFacts:
        """Return the facts of images, of which only headers are read, in threads."""
        order = np.argsort(ids)
        with permissive_pillow(), ThreadPoolExecutor(min(8, usable_cores())) as threads:
            tasks = (order[start : start + TASK_IMAGES] for start in range(0, len(order), TASK_IMAGES))
            rows = threads.map(lambda some: [_facts(images[i]) for i in some], tasks)
            table = np.array([row for some in rows for row in some], dtype=np.int64).reshape(-1, 3)
        return cls(ids[order], tuple(names[i] for i in order), table[:, 0], table[:, 1], table[:, 2])

    def rows(self, ids: Indices) -> Indices:
        """Return the row of each id, int64 ``[len(ids)]``. Raises KeyError for an unknown id."""
        places = np.searchsorted(self.ids, ids)
        if len(ids) and not np.array_equal(self.ids[np.minimum(places, len(self.ids) - 1)], ids):
            raise KeyError("an image of this set did not come from these files")
        return places.astype(np.int64)


def _facts(image: RawImage) -> tuple[int, int, int]:
    """Return bytes, width and height."""
    if isinstance(image, np.ndarray):
        return UNKNOWN, image.shape[1], image.shape[0]
    try:
        if isinstance(image, StoredBytes):
            image = image.read()
        if isinstance(image, Path):
            return image.stat().st_size, *displayed_size(image)
        if isinstance(image, bytes):
            return len(image), *displayed_size(image)
    except DAMAGE:  # the decoding decides whether that matters
        return UNKNOWN, UNKNOWN, UNKNOWN
    return UNKNOWN, UNKNOWN, UNKNOWN
