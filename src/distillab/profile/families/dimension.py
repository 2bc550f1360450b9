"""How many dimensions the images really vary in."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, rate
from distillab.profile.measure import Family, Interval
from distillab.profile.subject import Subject

Distances = npt.NDArray[np.float64]
SAME = 0.01  # of the usual distance to the nearest image: nearer ones are copies, which say nothing
TIED = 1e-4  # logarithm of a ratio below which two neighbours are copies of each other
MLE_NEIGHBOURS = 10


def two_nn(distances: Distances) -> tuple[float, Interval, int]:
    """Dimension from the ratio of the distances to the second and to the first neighbour.

    If the density is even on that scale, the logarithm of the ratio is exponential with the dimension as its
    rate (Facco, d'Errico, Rodriguez and Laio, Scientific Reports 2017). Here the maximum-likelihood estimate
    with the correction for its bias, (n - 1) / sum, and the exact interval of such a rate.

    Args:
        distances: float ``[Q, >= 2]``, ascending.

    Returns:
        The dimension, its interval, and the number of images it rests on.
    """
    kept = _different(distances)
    kept = kept[np.log(kept[:, 1] / kept[:, 0]) > TIED]
    ratios = np.log(kept[:, 1] / kept[:, 0])
    total = float(ratios.sum())
    if len(kept) < 3 or total <= 0:
        return math.nan, Interval(math.nan, math.nan, "none: too few different images"), len(kept)
    value = (len(kept) - 1) / total
    return value, rate(value, len(kept)), len(kept)


def levina_bickel(distances: Distances, k: int = MLE_NEIGHBOURS) -> float:
    """Dimension from the distances to k neighbours (Levina and Bickel, NIPS 2004), averaged over images as
    MacKay and Ghahramani corrected it: the mean of the inverses. ``distances``: float ``[Q, >= k]``."""
    kept = _different(distances)[:, :k]
    if len(kept) < 3 or kept.shape[1] < 3:
        return math.nan
    inverse = np.log(kept[:, -1:] / kept[:, :-1]).sum(axis=1) / (kept.shape[1] - 1)
    return float(1 / inverse.mean()) if inverse.mean() > 0 else math.nan


def _different(distances: Distances) -> Distances:
    """Those of images that are no copy of their nearest neighbour."""
    nearest = distances[:, 0]
    apart = nearest[nearest > 0]
    return distances[nearest > SAME * np.median(apart)] if len(apart) else distances[:0]


def measure(subject: Subject) -> Family:
    """Two estimates that look at different scales."""
    book = FamilyBuilder("dimension", "Intrinsic dimension", subject.watch)
    distances = subject.neighbours.distances
    means = (
        "Hypothesis: images of few dimensions are learned from few of them, with less for a teacher to add. "
        "Compare sets in the same embedding only."
    )
    if distances.shape[1] < 3:
        book.note("There are too few images for neighbours.")
        return book.close()
    value, interval, n = two_nn(distances)
    book.add("dimension_twonn", "TwoNN", value, interval, n, means, hypothesis=True)
    value = levina_bickel(distances)
    book.add(
        "dimension_mle",
        f"maximum likelihood, {MLE_NEIGHBOURS} neighbours",
        value,
        jackknife(lambda i: levina_bickel(distances[i]), len(distances), value),
        len(distances),
        "On a coarser scale than TwoNN. If the two differ much, noise (TwoNN larger) or clusters are at "
        "play.",
    )
    if len(subject.neighbours.queries) < len(subject.images):
        book.note(
            f"From {len(distances):,} images drawn at random, with neighbours among all that were embedded."
        )
    return book.close()
