"""Canvas: decoded images collected into one array, in memory or in a file."""

from __future__ import annotations

import numpy as np

from distillab.data import storage
from distillab.data.examples import ItemStore, Pixels, chunks
from distillab.data.storage import ItemFile


class Canvas:
    """Collects images of one size, in as many channels as they need.

    It begins with one channel, and widens to three at the first color image. What might become larger than
    memory allows is collected in a file.

    Args:
        most: Number of images at most.
        channels: 1 or 3, or None for as many as needed.
    """

    def __init__(self, most: int, channels: int | None) -> None:
        self.most, self.channels = most, channels or 1
        self.size: tuple[int, int] | None = None
        self._count = 0
        self._array: Pixels | None = None
        self._file: ItemFile | None = None

    @property
    def needed_channels(self) -> int | None:
        """3 once there is a color image, else None."""
        return 3 if self.size is not None and self.channels == 3 else None

    def fits(self, image: Pixels) -> bool:
        """Return True if an image, uint8 ``[H, W]`` or ``[H, W, 3]``, is as large as those before it."""
        return self.size is None or self.size == image.shape[:2]

    def add(self, image: Pixels) -> None:
        """Add an image, uint8 ``[H, W]`` or ``[H, W, 3]``.

        Raises:
            RequestError: The disk has no room for so many.
        """
        color = image.ndim == 3
        if self.size is None:
            self.channels = 3 if color else self.channels
            self._begin((image.shape[0], image.shape[1]))
        elif color and self.channels == 1:
            self._widen()
        planes = image.transpose(2, 0, 1) if color else image[None]
        if self._array is not None:
            self._array[self._count] = planes
        elif self._file is not None:
            self._file.append(np.broadcast_to(planes, (self.channels, *planes.shape[1:]))[None])
        self._count += 1

    def finished(self) -> ItemStore | None:
        """Return the images in order, uint8 ``[M, C, H, W]``; None if there is none."""
        if self._file is not None:
            return self._file.done()
        return None if self._array is None else self._array[: self._count]

    def _begin(self, size: tuple[int, int]) -> None:
        self.size = size
        if self.most * 3 * size[0] * size[1] > storage.LARGE:
            self._file = ItemFile(self.most, (self.channels, *size))
        else:
            self._array = np.zeros((self.most, self.channels, *size), dtype=np.uint8)

    def _widen(self) -> None:
        self.channels = 3
        if self._array is not None:
            self._array = np.repeat(self._array, 3, axis=1)
        elif self._file is not None:
            gray = self._file.done()
            self._file = ItemFile(self.most, (3, *gray.shape[2:]))
            for chunk in chunks(gray):
                self._file.append(np.broadcast_to(chunk, (len(chunk), 3, *chunk.shape[2:])))
