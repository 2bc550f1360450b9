"""The ``noise`` source: images of independent pixels, whose labels have no relation to them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from distillab.canonical import seed_from
from distillab.data.randomness import random_bits
from distillab.data.targets import Labels
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source

_SIDE = 28  # pixels per side if no resolution is given


@source("noise")
class NoiseImages(ImageSource):
    """Images of independently drawn pixels with arbitrary labels, for controls; nothing to download.

    Every value of every pixel is uniform over 0 to 255, the same for the same seed on every machine, and a
    label names no property of an image. Image n is the same whatever the number of images. Images are drawn
    at the requested resolution instead of being resized.

    Attributes:
        images: Images per class in train (from which val is carved).
        test_images: Images per class in test.
        names: The classes, or their number; they are then called 0, 1, 2.
        seed: Seed of all draws.

    Example:
        >>> raw = NoiseImages(names=3, images=4, resolution=8).read()
        >>> raw.classes, len(raw.train.names)
        (('0', '1', '2'), 12)
    """

    images: Annotated[int, Field(ge=1, lt=2**24)] = 200
    test_images: Annotated[int, Field(ge=1, lt=2**24)] = 20
    names: Annotated[int, Field(ge=2, le=10_000)] | list[str] = 10
    seed: int = 0

    def read(self) -> RawSplits:
        names = tuple(map(str, range(self.names))) if isinstance(self.names, int) else tuple(self.names)
        return RawSplits(
            names,
            self._split("train", self.images, len(names)),
            test=self._split("test", self.test_images, len(names)),
        )

    def _split(self, split: str, each: int, classes: int) -> RawSplit:
        rows = np.arange(each * classes, dtype=np.int64)
        side, channels = self.resolution or _SIDE, self.channels or 1
        size = side * side * channels
        words = -(-size // 8)
        key = seed_from("noise source", split, self.seed)
        bits = random_bits(rows[:, None] * words + np.arange(words), key)
        pixels = bits.astype("<u8").view(np.uint8).reshape(len(rows), words * 8)[:, :size]
        shape = (side, side) if channels == 1 else (side, side, channels)
        return RawSplit(
            list(pixels.reshape(len(rows), *shape)),
            Labels(rows % classes, classes),
            [f"{split}[{row}]" for row in rows],
        )
