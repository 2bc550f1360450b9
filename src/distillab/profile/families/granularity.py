"""How fine the classes are, and whether they form a tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import average, cophenet, leaves_list
from scipy.spatial.distance import pdist, squareform

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval
from distillab.profile.measure import Family, Grid
from distillab.profile.profiled_dataset import ProfiledDataset

_SAMPLE_SIZE = 10_000
_CLASSES_LISTED = 200


def class_means(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> npt.NDArray[np.float64]:
    """Return the mean vector of each class that occurs, float64 ``[C, D]``, in label order."""
    return np.stack([vectors[labels == label].mean(axis=0, dtype=np.float64) for label in np.unique(labels)])


def granularity(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> float:
    """Return the distance to the nearest class relative to the spread of the class, averaged over classes.

    The distance is that of class means, the spread the root-mean-square distance of the images of the class
    from their mean. Small values mean fine classes.

    Args:
        vectors: float ``[N, D]``.
        labels: int64 ``[N]``.
    """
    means = class_means(vectors, labels)
    distances = squareform(pdist(means))
    np.fill_diagonal(distances, np.inf)
    spreads = [
        np.sqrt(np.square(vectors[labels == label] - mean, dtype=np.float64).sum(axis=1).mean())
        for label, mean in zip(np.unique(labels), means, strict=True)
    ]
    return float((distances.min(axis=1) / np.maximum(spreads, 1e-12)).mean())


def effective_rank(means: npt.NDArray[np.float64]) -> float:
    """Return exp(entropy) of the squared singular values of centered class means (Roy and Vetterli 2007).

    It is the number of directions in which classes differ, at most C - 1.

    Args:
        means: float64 ``[C, D]``.

    Example:
        >>> round(effective_rank(np.eye(5)), 6)
        4.0
    """
    values = np.linalg.svd(means - means.mean(axis=0), compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 1.0


def measure_granularity(data: ProfiledDataset) -> Family:
    """Measure granularity, effective rank, and the agreement of class distances with a tree."""
    family = FamilyBuilder("granularity", "Granularity", data.watch)
    sample = data.sample(_SAMPLE_SIZE)
    vectors, labels = data.vectors[sample].astype(np.float64), data.images.labels[sample]
    classes = len(np.unique(labels))
    value = granularity(vectors, labels)
    family.add(
        "granularity",
        "distance to the nearest class / spread within",
        value,
        jackknife_interval(lambda i: granularity(vectors[i], labels[i]), len(sample), value, minimum=0.0),
        len(sample),
        "Hypothesis: the smaller the value, the finer the classes, and the more the choice of the teacher "
        "matters.",
        hypothesis=True,
        claims=("C11",),
    )
    means = class_means(vectors, labels)
    rank = effective_rank(means)
    family.add(
        "class_effective_rank",
        f"directions in which classes differ (at most {classes - 1})",
        rank,
        jackknife_interval(
            lambda i: effective_rank(class_means(vectors[i], labels[i])), len(sample), rank, minimum=1.0
        ),
        len(sample),
        "If it is low, class similarities are simple, and soft targets add little to a coarse grouping of "
        "the classes.",
    )
    if classes >= 4:
        _add_tree(family, data, vectors, labels, means)
    return family.build()


def _add_tree(
    family: FamilyBuilder,
    data: ProfiledDataset,
    vectors: npt.NDArray[np.float64],
    labels: Indices,
    means: npt.NDArray[np.float64],
) -> None:
    distances = pdist(means)
    tree = average(distances)

    def fit(condensed: npt.NDArray[np.float64]) -> float:
        return float(cophenet(average(condensed), condensed)[0])

    value = fit(distances)
    family.add(
        "class_tree_fit",
        "agreement of class distances with a tree",
        value,
        jackknife_interval(
            lambda i: fit(pdist(class_means(vectors[i], labels[i]))), len(vectors), value, maximum=1.0
        ),
        len(vectors),
        "Near 1, classes form groups of similar ones, so that fine and coarse labels pose different tasks.",
    )
    if len(means) <= _CLASSES_LISTED:
        order = leaves_list(tree)
        names = [data.classes[label] for label in np.unique(labels)]
        square = squareform(distances)
        rows = tuple(
            (names[a], names[b], float(f"{square[a, b]:.3f}"))
            for a, b in zip(order, np.append(order[1:], order[0]), strict=True)
        )
        family.add_grid(
            Grid(
                "Classes in the order of their tree",
                ("class", "next class", "distance of their means"),
                rows[:-1],
            )
        )
