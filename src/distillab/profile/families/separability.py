"""How well the classes can be separated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, wilson_interval
from distillab.profile.measure import Family, Gallery, Grid, Picture
from distillab.profile.profiled_dataset import ProfiledDataset

_VOTERS = 5
_PAIRS_SHOWN = 6
_PICTURES = 4  # of a class beside another
_FISHER_SAMPLE_SIZE = 5_000


def fisher_ratio(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> float:
    """Return the spread between class means divided by that within classes, trace(S_B) / trace(S_W).

    Fisher 1936; the part of the former that comes from sampling noise of the means is subtracted, and the
    result is at least 0.

    Args:
        vectors: float ``[N, D]``.
        labels: int64 ``[N]``.
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(np.asarray(vectors, dtype=np.float64)[order], starts, axis=0) / sizes[:, None]
    total = float(np.square(vectors, dtype=np.float64).sum())
    center = sizes @ means / sizes.sum()
    between = float(sizes @ np.square(means - center).sum(axis=1))
    within = total - float(sizes @ np.square(means).sum(axis=1))
    degrees = len(labels) - len(sizes)
    if within <= 0 or degrees < 1:
        return np.inf
    noise = (len(sizes) - 1) * within / degrees
    return max(0.0, (between - noise) / len(labels)) / (within / degrees)


def majority_vote(labels: Indices, classes: int) -> Indices:
    """Return the most frequent label of each row; ties are broken in favor of the nearest neighbor.

    Args:
        labels: int64 ``[Q, K]``, labels of the neighbors, nearest first.
        classes: Number of classes.

    Returns:
        int64 ``[Q]``.

    Example:
        >>> majority_vote(np.array([[2, 1, 1, 2, 0]]), classes=3).tolist()
        [2]
    """
    votes = np.zeros((len(labels), classes))
    rows = np.arange(len(labels))
    for place in range(labels.shape[1]):
        votes[rows, labels[:, place]] += 1 + 1e-3 * 0.5**place
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def measure_separability(data: ProfiledDataset) -> Family:
    """Measure the Fisher ratio, neighbors, a linear probe, and the most confused pairs of classes."""
    family = FamilyBuilder("separability", "Separability", data.watch)
    labels, n, classes = data.images.labels, len(data.images), len(data.classes)
    sample = data.sample(_FISHER_SAMPLE_SIZE)
    vectors = data.vectors[sample]
    fisher = fisher_ratio(vectors, labels[sample])
    family.add(
        "fisher_ratio",
        "spread between classes / within",
        fisher,
        jackknife_interval(
            lambda i: fisher_ratio(vectors[i], labels[sample][i]), len(sample), fisher, minimum=0.0
        ),
        len(sample),
        "If it is low, the classes overlap in appearance, and only learned features can separate them.",
    )
    neighbors = data.neighbors
    if neighbors.positions.shape[1] >= _VOTERS:
        votes = majority_vote(labels[neighbors.positions[:, :_VOTERS]], classes)
        hits = int((votes == labels[neighbors.queries]).sum())
        family.add(
            "knn_accuracy",
            f"{_VOTERS} nearest neighbors, accuracy",
            hits / len(votes),
            wilson_interval(hits, len(votes)),
            len(votes),
            "What appearance alone gives without any training: a lower bound for a student.",
            unit="share",
        )
    probed = data.probe
    hits = int((probed.predicted == labels).sum())
    family.add(
        "probe_accuracy",
        "linear probe, accuracy",
        probed.accuracy,
        wilson_interval(hits, n),
        n,
        f"Predicting the largest class gives {100 * data.images.counts.max() / n:.1f} %. Near 100 %, little "
        "is left for a teacher to add; the gap to the teacher is what a student can gain.",
        unit="share",
        hypothesis=True,
        claims=("C1", "C3"),
    )
    _add_confused_pairs(family, data)
    return family.build()


def _add_confused_pairs(family: FamilyBuilder, data: ProfiledDataset) -> None:
    """Add the pairs of classes that the probe confuses most, with pictures."""
    probed, names = data.probe, data.classes
    counts, classes = probed.counts, len(names)
    confusion = np.bincount(probed.labels * classes + probed.predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    firsts, seconds = np.triu_indices(classes, 1)
    errors = confusion[firsts, seconds] + confusion[seconds, firsts]
    sizes = np.maximum(counts[firsts] + counts[seconds], 1)
    order = np.argsort(-errors / sizes, kind="stable")[:_PAIRS_SHOWN]
    order = order[errors[order] > 0]
    if not len(order):
        return
    most = order[0]
    first, second = names[firsts[most]], names[seconds[most]]
    family.add(
        "nearest_pair_confusion",
        f"most confused classes, {first} and {second}: share predicted as the other",
        errors[most] / sizes[most],
        wilson_interval(int(errors[most]), int(sizes[most])),
        int(sizes[most]),
        "Hypothesis: where classes are similar, the teacher's second class carries most of the information; "
        "choose the teacher by the ratio of its first to its second logit rather than by accuracy.",
        unit="share",
        hypothesis=True,
        claims=("C11",),
    )
    rows = tuple(
        (names[firsts[p]], names[seconds[p]], f"{100 * errors[p] / sizes[p]:.1f} %", int(sizes[p]))
        for p in order
    )
    columns = ("class", "other class", "predicted as the other", "images")
    family.add_grid(Grid("Most confused pairs of classes", columns, rows))
    strips = tuple(
        (
            f"{names[a]} beside {names[b]}",
            _most_similar(data, int(a), int(b)) + _most_similar(data, int(b), int(a)),
        )
        for a, b in zip(firsts[order], seconds[order], strict=True)
    )
    family.add_gallery(
        Gallery(
            "Most confused pairs of classes",
            "The images of each class that look most like the other one.",
            strips,
        )
    )


def _most_similar(data: ProfiledDataset, label: int, other: int) -> tuple[Picture, ...]:
    """Return the images of a class for which the probe finds another class most probable."""
    members = np.flatnonzero(data.images.labels == label)
    order = np.argsort(-data.probe.probabilities[members, other], kind="stable")
    return tuple(data.picture(int(p), data.classes[label]) for p in members[order[:_PICTURES]])
