"""Canvas: decoded images collected into one array, in memory or in a file."""

from __future__ import annotations

import numpy as np

from distillab.data import storage
from distillab.data.examples import ItemStore, Pixels, chunks
from distillab.data.storage import ItemFile


class Canvas:
    """Collects images, ``most`` of them at most, in ``channels`` or in as many as they need: it starts grey,
    and widens to three channels at the first colour. What might become larger than memory allows is
    collected in a file.
    """

    def __init__(self, most: int, channels: int | None) -> None:
        self.most, self.channels = most, channels or 1
        self.size: tuple[int, int] | None = None
        self._count = 0
        self._array: Pixels | None = None
        self._file: ItemFile | None = None

    @property
    def colour(self) -> int | None:
        """3 as soon as there is a colour image, else None."""
        return 3 if self.size is not None and self.channels == 3 else None

    def fits(self, image: Pixels) -> bool:
        """Whether an image, uint8 ``[H, W]`` or ``[H, W, 3]``, is as large as those before it."""
        return self.size is None or self.size == image.shape[:2]

    def add(self, image: Pixels) -> None:
        """Lay down the next image, uint8 ``[H, W]`` or ``[H, W, 3]``. Raises RequestError if there is no
        room for so many on the disk."""
        colour = image.ndim == 3
        if self.size is None:
            self.channels = 3 if colour else self.channels
            self._begin((image.shape[0], image.shape[1]))
        elif colour and self.channels == 1:
            self._widen()
        planes = image.transpose(2, 0, 1) if colour else image[None]
        if self._array is not None:
            self._array[self._count] = planes
        elif self._file is not None:
            self._file.append(np.broadcast_to(planes, (self.channels, *planes.shape[1:]))[None])
        self._count += 1

    def finished(self) -> ItemStore | None:
        """The images in order, uint8 ``[M, C, H, W]``; None if none was laid down."""
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
            grey = self._file.done()
            self._file = ItemFile(self.most, (3, *grey.shape[2:]))
            for chunk in chunks(grey):
                self._file.append(np.broadcast_to(chunk, (len(chunk), 3, *chunk.shape[2:])))
