"""How well classes can be told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, wilson
from distillab.profile.measure import Family, Gallery, Grid, Picture
from distillab.profile.subject import Subject

VOTERS = 5
PAIRS = 6
PICTURES = 4  # of a class beside another
FISHER_FROM = 5_000


def fisher_ratio(vectors: npt.NDArray[np.floating[Any]], labels: Indices) -> float:
    """Spread between class means over spread within classes, trace(S_B) / trace(S_W) (Fisher 1936), without
    the part of the former that comes from the noise of the means; not below 0.

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
    centre = sizes @ means / sizes.sum()
    between = float(sizes @ np.square(means - centre).sum(axis=1))
    within = total - float(sizes @ np.square(means).sum(axis=1))
    free = len(labels) - len(sizes)
    if within <= 0 or free < 1:
        return np.inf
    noise = (len(sizes) - 1) * within / free
    return max(0.0, (between - noise) / len(labels)) / (within / free)


def majority(labels: Indices, classes: int) -> Indices:
    """The most frequent label of each row, the nearest neighbour's among equals: int64 ``[Q]``."""
    votes = np.zeros((len(labels), classes))
    rows = np.arange(len(labels))
    for place in range(labels.shape[1]):
        votes[rows, labels[:, place]] += 1 + 1e-3 * 0.5**place
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def measure(subject: Subject) -> Family:
    """Fisher ratio, neighbours, a linear probe, and the pairs of classes that are mixed up most."""
    book = FamilyBuilder("separability", "Separability", subject.watch)
    labels, n, classes = subject.images.labels, len(subject.images), len(subject.classes)
    some = subject.sample(FISHER_FROM)
    vectors = subject.vectors[some]
    fisher = fisher_ratio(vectors, labels[some])
    book.add(
        "fisher_ratio",
        "spread between classes / within",
        fisher,
        jackknife(lambda i: fisher_ratio(vectors[i], labels[some][i]), len(some), fisher, least=0.0),
        len(some),
        "Low: classes overlap in looks, and only features that a network learns can part them.",
    )
    near = subject.neighbours
    if near.positions.shape[1] >= VOTERS:
        voted = majority(labels[near.positions[:, :VOTERS]], classes)
        hits = int((voted == labels[near.queries]).sum())
        book.add(
            "knn_accuracy",
            f"{VOTERS} nearest neighbours, accuracy",
            hits / len(voted),
            wilson(hits, len(voted)),
            len(voted),
            "What looks alone give, without any training: the floor for a student.",
            unit="share",
        )
    probed = subject.probe
    hits = int((probed.predicted == labels).sum())
    book.add(
        "probe_accuracy",
        "linear probe, accuracy",
        probed.accuracy,
        wilson(hits, n),
        n,
        f"By guessing the largest class: {100 * subject.images.counts.max() / n:.1f} %. Near 100 %, "
        "little is left "
        "for a teacher to add; the gap from here to the teacher is what a student can win.",
        unit="share",
        hypothesis=True,
        claims=("C1", "C3"),
    )
    _confused(book, subject)
    return book.close()


def _confused(book: FamilyBuilder, subject: Subject) -> None:
    """The pairs of classes between which the probe errs most, with pictures of those errors."""
    probed, names = subject.probe, subject.classes
    counts, classes = probed.counts, len(names)
    confusion = np.bincount(probed.labels * classes + probed.predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    firsts, seconds = np.triu_indices(classes, 1)
    errors = confusion[firsts, seconds] + confusion[seconds, firsts]
    sizes = np.maximum(counts[firsts] + counts[seconds], 1)
    order = np.argsort(-errors / sizes, kind="stable")[:PAIRS]
    order = order[errors[order] > 0]
    if not len(order):
        return
    best = order[0]
    first, second = names[firsts[best]], names[seconds[best]]
    book.add(
        "nearest_pair_confusion",
        f"nearest classes, {first} and {second}: share taken for the other",
        errors[best] / sizes[best],
        wilson(int(errors[best]), int(sizes[best])),
        int(sizes[best]),
        "Hypothesis: where classes are near, what a teacher says of the second class carries most; "
        "choose it by the "
        "ratio of its first to its second logit rather than by accuracy.",
        unit="share",
        hypothesis=True,
        claims=("C11",),
    )
    rows = tuple(
        (names[firsts[p]], names[seconds[p]], f"{100 * errors[p] / sizes[p]:.1f} %", int(sizes[p]))
        for p in order
    )
    book.tabulate(Grid("Nearest pairs of classes", ("class", "and", "taken for the other", "images"), rows))
    strips = tuple(
        (f"{names[a]} beside {names[b]}", _beside(subject, int(a), int(b)) + _beside(subject, int(b), int(a)))
        for a, b in zip(firsts[order], seconds[order], strict=True)
    )
    book.show(
        Gallery(
            "Nearest pairs of classes", "Of each class the images that look most like the other one.", strips
        )
    )


def _beside(subject: Subject, own: int, other: int) -> tuple[Picture, ...]:
    """Images of a class that the probe finds likest to another class."""
    members = np.flatnonzero(subject.images.labels == own)
    likest = members[np.argsort(-subject.probe.probabilities[members, other], kind="stable")[:PICTURES]]
    return tuple(subject.picture(int(p), subject.classes[own]) for p in likest)
