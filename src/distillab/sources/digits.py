"""The ``digits`` source: scikit-learn's bundled optical digits."""

from __future__ import annotations

import numpy as np

from distillab.data.targets import Labels
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source


@source("digits")
class Digits(ImageSource):
    """1,797 handwritten digits, 8x8 gray, bundled with scikit-learn: nothing to download.

    The 17 gray levels 0..16 are spread over 0..255. From the UCI optical recognition of handwritten digits
    data (Alpaydin and Kaynak, 1998).

    Example:
        >>> Digits().read().train.targets.counts.tolist()
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    """

    def read(self) -> RawSplits:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
        names = [f"digits[{row}]" for row in range(len(images))]
        classes = tuple(str(digit) for digit in range(10))
        return RawSplits(classes, RawSplit(list(images), Labels(bunch.target.astype(np.int64), 10), names))
