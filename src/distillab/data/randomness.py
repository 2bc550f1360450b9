"""Randomness that belongs to an example, not to a global state.

A draw is a pure function of (id, keys), so it can be repeated anywhere, in any order, for any subset. Nested
subsets, label noise that composes with size, and equal views for teacher and student rest on this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection that scatters bits."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def random_bits(ids: npt.NDArray[np.int64], *keys: int) -> npt.NDArray[np.uint64]:
    """Return 64 random bits per id, uint64 ``[N]``: a function of the id and the keys alone.

    Example:
        >>> ids = np.array([3, 4, 5])
        >>> (random_bits(ids, 7)[1:] == random_bits(ids[1:], 7)).all()
        np.True_
    """
    with np.errstate(over="ignore"):
        state = _mix(np.asarray(ids).astype(np.uint64) + _GOLDEN)
        for key in keys:
            state = _mix(state ^ _mix(np.array([key & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) + _GOLDEN))
            state = state + _GOLDEN
        return _mix(state)


def uniform(ids: npt.NDArray[np.int64], *keys: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per id, float64 ``[N]``: a function of the id and the keys alone.

    Example:
        >>> uniform(np.array([3, 4]), 7).round(3)
        array([0.848, 0.368])
    """
    return (random_bits(ids, *keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53
