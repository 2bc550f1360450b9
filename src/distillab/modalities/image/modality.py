"""Images as a modality."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from distillab.data.channel_statistics import ChannelStatistics, statistics_of_pixels
from distillab.data.examples import IMAGE, Examples, Items, ItemShape
from distillab.data.originals import Original
from distillab.modalities.image.normalization import PixelNormalization
from distillab.modalities.image.views.rand_augment import RandAugment
from distillab.modalities.modality import Modality, Preview, modality
from distillab.modalities.views.operation import Operation
from distillab.modalities.views.written import WrittenViews


@modality(IMAGE)
class ImageModality(Modality):
    """Images: uint8 pixels with 1 or 3 channels, per-channel normalization, crops and flips.

    Example:
        >>> ImageModality().views("auto", (3, 32, 32)).label
        'crop_flip (pad 4)'
    """

    embedding: ClassVar[str] = "patches"

    def statistics(self, examples: Examples) -> ChannelStatistics:
        """Return mean and standard deviation per channel on the [0, 1] scale, float32 ``[C]`` each."""
        return statistics_of_pixels(examples)

    def normalization(self, statistics: ChannelStatistics) -> PixelNormalization:
        """Return the normalization by given channel statistics."""
        return PixelNormalization(*statistics)

    def usual_views(self, shape: ItemShape) -> WrittenViews:
        """Return crops for gray images (digits have no mirror), crops and flips for color."""
        return "crop" if shape[0] == 1 else "crop_flip"

    def strong_operation(self) -> Operation:
        """Return RandAugment: two operations at magnitude 10."""
        return RandAugment()

    def describe(self, shape: ItemShape) -> str:
        """Return height, width and color, such as ``32x32 RGB``."""
        channels, height, width = shape
        return f"{height}x{width} {'gray' if channels == 1 else 'RGB'}"

    def preview(self, item: Items, original: Original | None = None) -> Preview:
        """Return the image itself; float values are gray levels from 0 to 255."""
        return Preview(np.asarray(item.round().clip(0, 255), dtype=np.uint8))
