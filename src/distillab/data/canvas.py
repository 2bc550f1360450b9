"""Canvas: decoded images collected into one array, in memory or in a file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data import storage
from distillab.data.imageset import Pixels, PixelStore
from distillab.data.storage import FilePixels, PixelFile, copied


class Canvas:
    """Collects ``count`` images, of ``channels`` or of as many as they need: it starts grey, and widens to
    three channels at the first colour. What might become larger than memory allows is collected in a file.
    """

    def __init__(self, count: int, channels: int | None) -> None:
        self.count, self.channels = count, channels or 1
        self.size: tuple[int, int] | None = None
        self._array: Pixels | None = None
        self._file: PixelFile | None = None

    @property
    def colour(self) -> int | None:
        """3 as soon as there is a colour image, else None."""
        return 3 if self.size is not None and self.channels == 3 else None

    def fits(self, image: Pixels) -> bool:
        """Whether an image, uint8 ``[H, W]`` or ``[H, W, 3]``, is as large as those before it."""
        return self.size is None or self.size == image.shape[:2]

    def put(self, row: int, image: Pixels) -> None:
        """Lay down one image, uint8 ``[H, W]`` or ``[H, W, 3]``."""
        colour = image.ndim == 3
        if self.size is None:
            self.channels = 3 if colour else self.channels
            self._begin((image.shape[0], image.shape[1]))
        elif colour and self.channels == 1:
            self._widen()
        planes = image.transpose(2, 0, 1) if colour else image[None]
        if self._array is not None:
            self._array[row] = planes
        elif self._file is not None:
            self._file.put(row, np.broadcast_to(planes, (self.channels, *planes.shape[1:])))

    def finished(self, intact: npt.NDArray[np.bool_]) -> PixelStore | None:
        """All images of the mask, bool ``[count]``, uint8 ``[M, C, H, W]``; None if none was laid down."""
        if self._file is None:
            return self._array if self._array is None or intact.all() else self._array[intact]
        pixels = self._file.done()
        return pixels if intact.all() else copied(pixels, intact, self.channels)

    def _begin(self, size: tuple[int, int]) -> None:
        self.size = size
        shape = (self.count, self.channels, *size)
        if self.count * 3 * size[0] * size[1] > storage.LARGE:
            self._file = PixelFile(shape)
        else:
            self._array = np.zeros(shape, dtype=np.uint8)

    def _widen(self) -> None:
        self.channels = 3
        if self._array is not None:
            self._array = np.repeat(self._array, 3, axis=1)
        elif self._file is not None:
            grey: FilePixels = self._file.done()
            self._file = PixelFile((self.count, 3, *grey.shape[2:]))  # type: ignore[arg-type]
            for row, image in enumerate(grey):
                self._file.put(row, np.broadcast_to(image, (3, *image.shape[1:])))
