"""The ``digits`` source: scikit-learn's bundled optical digits."""

from __future__ import annotations

import numpy as np

from distillab.sources.source import ImageSource, RawSplit, RawSplits, source


@source("digits")
class Digits(ImageSource):
    """1,797 handwritten digits, 8x8 grey, that come with scikit-learn: nothing to download.

    The 17 grey levels 0..16 are spread over 0..255. From the UCI optical recognition of handwritten digits
    data (Alpaydin and Kaynak, 1998).
    """

    def read(self) -> RawSplits:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
        names = [f"digits[{row}]" for row in range(len(images))]
        return RawSplits(
            tuple(str(digit) for digit in range(10)),
            RawSplit(list(images), bunch.target.astype(np.int64), names),
        )
