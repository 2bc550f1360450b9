"""Greedy orders of points: whoever takes the first of them takes the best for that number of points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices

Points = npt.NDArray[np.float64]
_TIES = 9  # decimals: what differs by less is a tie, whatever order a machine adds numbers in


def herding(points: Points, number: int) -> Indices:
    """Positions of ``number`` of the points (float64 ``[N, D]``), each chosen so that the mean of those
    chosen comes nearest to the mean of all; of equal ones the first.

    Welling, "Herding dynamical weights to learn", ICML 2009, as Rebuffi et al. use it ("iCaRL: incremental
    classifier and representation learning", CVPR 2017, algorithm 4).
    """
    mean, total = points.mean(axis=0), np.zeros(points.shape[1])
    squares = (points**2).sum(axis=1)
    chosen = np.empty(number, dtype=np.int64)
    free = np.ones(len(points), dtype=bool)
    for place in range(number):
        # |mean - (total + x) / k|^2 for k = place + 1, times k^2 and without what all x share
        cost = squares - 2 * points @ ((place + 1) * mean - total)
        chosen[place] = np.where(free, cost.round(_TIES), np.inf).argmin()
        free[chosen[place]] = False
        total += points[chosen[place]]
    return chosen


def k_centre(points: Points, number: int) -> Indices:
    """Positions of ``number`` of the points (float64 ``[N, D]``): the one nearest to the mean of all, then
    always the one that is furthest from those chosen; of equal ones the first.

    Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018,
    algorithm 1. No point is further from a chosen one than twice the distance that the best choice leaves
    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985).
    """
    chosen = np.empty(number, dtype=np.int64)
    apart = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    nearest = np.full(len(points), np.inf)
    for place in range(number):
        chosen[place] = nearest.round(_TIES).argmax() if place else apart.round(_TIES).argmin()
        distance = ((points - points[chosen[place]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        nearest[chosen[place]] = -1.0  # an image that stands there twice may be chosen twice, its place not
    return chosen
