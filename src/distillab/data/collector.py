"""Collecting items one after the other, in memory or in a file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distillab.data import storage
from distillab.data.examples import Items, ItemStore
from distillab.data.storage import ItemFile


class ItemCollector:
    """Collects items: in memory, or in a file if all would take more than :data:`storage.LARGE` bytes.

    Args:
        most: Number of items at most.
        shape: Shape of one item.
        dtype: Type of the values.

    Raises:
        RequestError: The disk has no room for so many.

    Example:
        >>> collector = ItemCollector(5, (1, 4, 9), np.float16)
        >>> collector.append(np.zeros((3, 1, 4, 9)))
        >>> collector.finished().shape
        (3, 1, 4, 9)
    """

    def __init__(self, most: int, shape: tuple[int, ...], dtype: Any) -> None:
        self._count = 0
        self._file: ItemFile | None = None
        self._array: Items = np.empty((0, *shape), dtype)
        if most * math.prod(shape) * np.dtype(dtype).itemsize > storage.LARGE:
            self._file = ItemFile(most, shape, dtype)
        else:
            self._array = np.zeros((most, *shape), dtype)

    def append(self, items: Items) -> None:
        """Append items, ``[M, ...]``."""
        if self._file is not None:
            self._file.append(items)
        else:
            self._array[self._count : self._count + len(items)] = items
            self._count += len(items)

    def finished(self) -> ItemStore:
        """Return all items, in order."""
        return self._array[: self._count] if self._file is None else self._file.done()
