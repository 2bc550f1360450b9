"""Intrinsic dimension of the images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, rate_interval
from distillab.profile.measure import Family, Interval
from distillab.profile.profiled_dataset import ProfiledDataset

Distances = npt.NDArray[np.float64]
_COPY_DISTANCE = 0.01  # of the median distance to the nearest image; nearer images are copies, left out
_TIED_LOG_RATIO = 1e-4  # two neighbors with a smaller log ratio of distances are copies of each other
_MLE_NEIGHBORS = 10


def two_nn(distances: Distances) -> tuple[float, Interval, int]:
    """Estimate the dimension from the ratio of the distances to the second and to the first neighbor.

    Where the density is constant on that scale, the logarithm of the ratio is exponentially distributed with
    the dimension as its rate (Facco, d'Errico, Rodriguez and Laio, Scientific Reports 2017). The estimate is
    the maximum-likelihood one with its bias corrected, (n - 1) / sum, with the exact interval of such a rate.

    Args:
        distances: float ``[Q, >= 2]``, ascending.

    Returns:
        The dimension, its interval, and the number of images it was computed from.
    """
    kept = _without_copies(distances)
    kept = kept[np.log(kept[:, 1] / kept[:, 0]) > _TIED_LOG_RATIO]
    ratios = np.log(kept[:, 1] / kept[:, 0])
    total = float(ratios.sum())
    if len(kept) < 3 or total <= 0:
        return math.nan, Interval(math.nan, math.nan, "none: too few different images"), len(kept)
    value = (len(kept) - 1) / total
    return value, rate_interval(value, len(kept)), len(kept)


def levina_bickel(distances: Distances, k: int = _MLE_NEIGHBORS) -> float:
    """Estimate the dimension from the distances to k neighbors (Levina and Bickel, NIPS 2004).

    Estimates of single images are averaged as MacKay and Ghahramani proposed: the mean of their inverses.

    Args:
        distances: float ``[Q, >= k]``, ascending.
        k: Neighbors per image.
    """
    kept = _without_copies(distances)[:, :k]
    if len(kept) < 3 or kept.shape[1] < 3:
        return math.nan
    inverse = np.log(kept[:, -1:] / kept[:, :-1]).sum(axis=1) / (kept.shape[1] - 1)
    return float(1 / inverse.mean()) if inverse.mean() > 0 else math.nan


def _without_copies(distances: Distances) -> Distances:
    """Keep the rows of images that are not copies of their nearest neighbor."""
    nearest = distances[:, 0]
    apart = nearest[nearest > 0]
    return distances[nearest > _COPY_DISTANCE * np.median(apart)] if len(apart) else distances[:0]


def measure_dimension(data: ProfiledDataset) -> Family:
    """Measure the dimension by two estimates on different scales."""
    family = FamilyBuilder("dimension", "Intrinsic dimension", data.watch)
    distances = data.neighbors.distances
    if distances.shape[1] < 3:
        family.add_note("There are too few images to find neighbors.")
        return family.build()
    value, interval, n = two_nn(distances)
    family.add(
        "dimension_twonn",
        "TwoNN",
        value,
        interval,
        n,
        "Hypothesis: images of low dimension can be learned from few of them, and a teacher adds less. "
        "Compare datasets in the same embedding only.",
        hypothesis=True,
    )
    value = levina_bickel(distances)
    family.add(
        "dimension_mle",
        f"maximum likelihood, {_MLE_NEIGHBORS} neighbors",
        value,
        jackknife_interval(lambda i: levina_bickel(distances[i]), len(distances), value),
        len(distances),
        "On a coarser scale than TwoNN. If the two differ much, look for noise (TwoNN larger) or clusters.",
    )
    if len(data.neighbors.queries) < len(data.images):
        family.add_note(
            f"From {len(distances):,} images drawn at random, with neighbors among all embedded images."
        )
    return family.build()
