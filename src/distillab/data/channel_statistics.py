"""Channel statistics: the mean and standard deviation that inputs are normalized with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples

ChannelStatistics = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Mean and standard deviation, float32, one of each per channel (``[C]``) or per part of a channel."""
StatisticsOf = Callable[[Examples], ChannelStatistics]

LARGEST_AT_ONCE = 3 * 128 * 128  # values per item up to which thousands are read at once


def statistics_of_pixels(images: Examples) -> ChannelStatistics:
    """Return mean and standard deviation per channel on the [0, 1] scale, float32 ``[C]`` each.

    Example:
        >>> images = Examples.of(np.full((2, 3, 4, 4), 51, np.uint8), [0, 1], ("cat", "dog"))
        >>> mean, std = statistics_of_pixels(images)
        >>> mean, std
        (array([0.2, 0.2, 0.2], dtype=float32), array([0.01, 0.01, 0.01], dtype=float32))
    """
    sums = np.zeros(images.shape[0])
    squares = np.zeros(images.shape[0])
    size = 4096 if np.prod(images.shape) <= LARGEST_AT_ONCE else 8  # eight of 224 px stay in the CPU's cache
    for start in range(0, len(images), size):
        positions = np.arange(start, min(start + size, len(images)))
        batch = images.pixels(positions).astype(np.float64) / 255.0
        sums += batch.mean(axis=(2, 3)).sum(axis=0)
        squares += (batch**2).mean(axis=(2, 3)).sum(axis=0)
    mean = sums / len(images)
    std = np.sqrt(np.maximum(squares / len(images) - mean**2, 1e-8))
    return mean.astype(np.float32), np.maximum(std, 1e-2).astype(np.float32)
