"""The ``drawn_boxes`` source: drawn shapes with the boxes around them; nothing to download."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from distillab.canonical import seed_from
from distillab.data.boxes import Boxes
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source

CLASSES = ("disc", "square", "ring")
_SIDE = 64  # pixels per side if no resolution is given
_COLORS = np.array([[220, 60, 50], [60, 180, 75], [70, 110, 230], [230, 200, 60]], dtype=np.float64)
_ATTEMPTS = 20
_MOST_OVERLAP = 0.2  # of the smaller of two boxes


@source("drawn_boxes")
class DrawnBoxes(ImageSource):
    """Drawn images of discs, squares and rings of random size, color and place, with exact boxes.

    The color does not depend on the class. Every tenth image has no object. Image n of a split is the same
    whatever the number of images.

    Attributes:
        images: Images in train, from which val is carved.
        test_images: Images in test.
        most: Objects per image at most.
        noise: Standard deviation of the noise, in gray levels.
        seed: Seed of all draws.

    Example:
        >>> split = DrawnBoxes(images=10).read().train
        >>> split.items[0].shape, split.targets.kind, len(split.names)
        ((64, 64, 3), 'boxes', 10)
    """

    argument: ClassVar[str | None] = None

    images: Annotated[int, Field(ge=1, lt=2**32)] = 200
    test_images: Annotated[int, Field(ge=1, lt=2**32)] = 100
    most: Annotated[int, Field(ge=1, le=20)] = 4
    noise: Annotated[float, Field(ge=0, le=100)] = 20.0
    seed: int = 0

    def read(self) -> RawSplits:
        return RawSplits(
            CLASSES, self._split("train", self.images), test=self._split("test", self.test_images)
        )

    def _split(self, split: str, count: int) -> RawSplit:
        drawn = [self._draw(split, number) for number in range(count)]
        boxes = Boxes.of([rows for _, rows in drawn], len(CLASSES))
        names = [f"{split}[{number}]" for number in range(count)]
        return RawSplit([pixels for pixels, _ in drawn], boxes, names)

    def _draw(self, split: str, number: int) -> tuple[npt.NDArray[np.uint8], list[tuple[float, ...]]]:
        """Return one image, uint8 ``[side, side, 3]``, and its boxes."""
        side = self.resolution or _SIDE
        rng = np.random.default_rng(seed_from("drawn boxes", self.seed, split, number))
        pixels = rng.uniform(60, 130) + rng.normal(0, self.noise, (side, side, 3))
        wanted = 0 if number % 10 == 9 else int(rng.integers(1, self.most + 1))
        rows: list[tuple[float, ...]] = []
        for _ in range(_ATTEMPTS):
            size = int(rng.integers(max(6, side // 8), max(8, side // 3)))
            left, top = (int(each) for each in rng.integers(0, side - size, 2))
            box = (left, top, left + size, top + size)
            label, color = int(rng.integers(len(CLASSES))), _COLORS[rng.integers(len(_COLORS))]
            if len(rows) == wanted:
                break
            if any(_overlap(box, row[1:]) > _MOST_OVERLAP for row in rows):
                continue
            window = pixels[top : top + size, left : left + size]
            mask = _mask(label, size)
            window[mask] = color + rng.normal(0, self.noise, (int(mask.sum()), 3))
            rows.append((label, *box))
        return pixels.round().clip(0, 255).astype(np.uint8), rows


def _mask(label: int, size: int) -> npt.NDArray[np.bool_]:
    """Return which pixels of a box belong to a shape, bool ``[size, size]``."""
    at = np.arange(size) - (size - 1) / 2
    distance = np.hypot(at[:, None], at[None, :])
    if CLASSES[label] == "square":
        return np.ones((size, size), dtype=np.bool_)
    inside: npt.NDArray[np.bool_] = distance <= size / 2
    return inside & (distance > size / 4) if CLASSES[label] == "ring" else inside


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = ((each[2] - each[0]) * (each[3] - each[1]) for each in (box, other))
    return max(width, 0) * max(height, 0) / min(areas)
