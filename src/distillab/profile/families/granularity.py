"""How fine the classes are, and whether they form a tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import average, cophenet, leaves_list
from scipy.spatial.distance import pdist, squareform

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife
from distillab.profile.measure import Family, Grid
from distillab.profile.subject import Subject

FROM = 10_000
LISTED = 200  # classes


def class_means(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> npt.NDArray[np.float64]:
    """Mean vector of each class that occurs, float64 ``[C, D]``, in label order."""
    return np.stack([vectors[labels == label].mean(axis=0, dtype=np.float64) for label in np.unique(labels)])


def granularity(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> float:
    """Distance from a class mean to the nearest other one, over the root-mean-square distance of the class's
    images from their mean; averaged over classes. Small: fine classes."""
    means = class_means(vectors, labels)
    apart = squareform(pdist(means))
    np.fill_diagonal(apart, np.inf)
    spreads = [
        np.sqrt(np.square(vectors[labels == label] - mean, dtype=np.float64).sum(axis=1).mean())
        for label, mean in zip(np.unique(labels), means, strict=True)
    ]
    return float((apart.min(axis=1) / np.maximum(spreads, 1e-12)).mean())


def effective_rank(means: npt.NDArray[np.float64]) -> float:
    """exp(entropy) of the squared singular values of centred class means: in how many directions classes
    differ, at most C - 1 (Roy and Vetterli 2007)."""
    values = np.linalg.svd(means - means.mean(axis=0), compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 1.0


def measure(subject: Subject) -> Family:
    """Granularity, effective rank, and the agreement of class distances with a tree."""
    book = FamilyBuilder("granularity", "Granularity", subject.watch)
    some = subject.sample(FROM)
    vectors, labels = subject.vectors[some].astype(np.float64), subject.images.labels[some]
    classes = len(np.unique(labels))
    value = granularity(vectors, labels)
    book.add(
        "granularity",
        "distance to the nearest class / spread within",
        value,
        jackknife(lambda i: granularity(vectors[i], labels[i]), len(some), value, least=0.0),
        len(some),
        "Hypothesis: the smaller, the finer the classes, and the more the choice of the teacher matters.",
        hypothesis=True,
        claims=("C11",),
    )
    means = class_means(vectors, labels)
    rank = effective_rank(means)
    book.add(
        "class_effective_rank",
        f"directions in which classes differ (at most {classes - 1})",
        rank,
        jackknife(lambda i: effective_rank(class_means(vectors[i], labels[i])), len(some), rank, least=1.0),
        len(some),
        "Few: class similarities are simple, and soft labels repeat what a few groups of classes would say.",
    )
    if classes >= 4:
        _tree(book, subject, vectors, labels, means)
    return book.close()


def _tree(
    book: FamilyBuilder,
    subject: Subject,
    vectors: npt.NDArray[np.float64],
    labels: Indices,
    means: npt.NDArray[np.float64],
) -> None:
    apart = pdist(means)
    tree = average(apart)

    def fit(distances: npt.NDArray[np.float64]) -> float:
        return float(cophenet(average(distances), distances)[0])

    book.add(
        "class_tree_fit",
        "agreement of class distances with a tree",
        fit(apart),
        jackknife(
            lambda i: fit(pdist(class_means(vectors[i], labels[i]))), len(vectors), fit(apart), most=1.0
        ),
        len(vectors),
        "Near 1: classes come in families of look-alikes, so fine and coarse labels make two different "
        "tasks.",
    )
    if len(means) <= LISTED:
        order = leaves_list(tree)
        names = [subject.classes[label] for label in np.unique(labels)]
        square = squareform(apart)
        rows = tuple(
            (names[a], names[b], float(f"{square[a, b]:.3f}"))
            for a, b in zip(order, np.append(order[1:], order[0]), strict=True)
        )
        book.tabulate(
            Grid(
                "Classes in the order of their tree",
                ("class", "beside", "distance of their means"),
                rows[:-1],
            )
        )
