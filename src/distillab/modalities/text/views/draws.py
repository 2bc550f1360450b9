"""Random numbers for every character of a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.randomness import random_bits

_UNIT = 2.0**-53


def uniform_per_character(state: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each character of each text, float64 ``[N, length]``.

    Args:
        state: Random bits of each text, uint64 ``[N]``.
        length: Characters per text.

    Example:
        >>> draws = uniform_per_character(np.array([3, 3, 4], np.uint64), 5)
        >>> draws.shape, bool((draws[0] == draws[1]).all()), bool((draws[0] == draws[2]).any())
        ((3, 5), True, False)
    """
    bits = random_bits(state.astype(np.int64)[:, None] + np.arange(length))
    draws: npt.NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * _UNIT
    return draws
