"""Greedy orders of points, of which every prefix is a good subset of its size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices

_Floats = npt.NDArray[np.float64]
_TIES = 9  # decimals: smaller differences are ties, whatever order a machine adds numbers in


def herding(points: _Floats, number: int) -> Indices:
    """Choose points one by one so that the mean of those chosen comes nearest to the mean of all.

    Welling, "Herding dynamical weights to learn", ICML 2009, as used by Rebuffi et al., "iCaRL: incremental
    classifier and representation learning", CVPR 2017, algorithm 4. Ties are resolved by position.

    Args:
        points: float64 ``[N, D]``.
        number: How many to choose.

    Returns:
        Positions, int64 ``[number]``, in the order of choice.
    """
    mean, total = points.mean(axis=0), np.zeros(points.shape[1])
    squares = (points**2).sum(axis=1)
    chosen = np.empty(number, dtype=np.int64)
    free = np.ones(len(points), dtype=bool)
    for place in range(number):
        # |mean - (total + x) / k|^2 for k = place + 1, times k^2 and without the terms common to all x
        cost = squares - 2 * points @ ((place + 1) * mean - total)
        chosen[place] = np.where(free, cost.round(_TIES), np.inf).argmin()
        free[chosen[place]] = False
        total += points[chosen[place]]
    return chosen


def k_centre(points: _Floats, number: int) -> Indices:
    """Choose the point nearest to the mean of all, then always the one furthest from those chosen.

    Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018,
    algorithm 1. No point is further from a chosen one than twice the distance that the best choice leaves
    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985). Ties are resolved by
    position.

    Args:
        points: float64 ``[N, D]``.
        number: How many to choose.

    Returns:
        Positions, int64 ``[number]``, in the order of choice.
    """
    chosen = np.empty(number, dtype=np.int64)
    apart = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    nearest = np.full(len(points), np.inf)
    for place in range(number):
        chosen[place] = nearest.round(_TIES).argmax() if place else apart.round(_TIES).argmin()
        distance = ((points - points[chosen[place]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        nearest[chosen[place]] = -1.0  # a position is chosen once; an equal point elsewhere may follow
    return chosen
