"""Hidden sources: kinds of images that nobody has named, and how they go with class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from distillab.data.examples import Indices
from distillab.modalities.image.embedding.principal import PrincipalAxes
from distillab.profile.cues import cue_features
from distillab.profile.families.association import cramers_v
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, normal_mean
from distillab.profile.measure import Family, Gallery, Grid, Picture
from distillab.profile.subject import SEED, Subject

FROM = 4_000
JUDGED_ON = 1_500  # images for silhouettes, whose cost is quadratic
MOST = 8  # clusters
DIMENSIONS = 8
APART = 0.25  # silhouette from which clusters are called apart (Kaufman and Rousseeuw 1990)
STRONG = 0.3  # Cramer's V
EXAMPLES = 8
MOST_STRIPS = 24  # rows of pictures; beyond it the classes of a kind share one
CUES_OF_SURROUNDINGS = ("border", "background", "mean_colour")


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of images.

    Attributes:
        members: int64 ``[N]``, the cluster of each, the largest first.
        distance: float64 ``[N]``, to the middle of the own cluster.
        silhouettes: float64 of a sample of the images: how far apart the clusters are, from -1 to 1.
    """

    members: Indices
    distance: npt.NDArray[np.float64]
    silhouettes: npt.NDArray[np.float64]

    @property
    def silhouette(self) -> float:
        """The mean silhouette."""
        return float(self.silhouettes.mean())

    @property
    def count(self) -> int:
        return int(self.members.max()) + 1


def clusters_of(features: npt.NDArray[np.floating[Any]]) -> Clusters:
    """k-means with the number of clusters, 2 to 8, that stand apart most clearly.

    Args:
        features: float ``[N, F]``.
    """
    best: Clusters | None = None
    some = np.random.default_rng(SEED).permutation(len(features))[:JUDGED_ON]
    for count in range(2, min(MOST, len(features) - 1) + 1):
        fitted = KMeans(count, n_init=3, random_state=SEED).fit(features)
        if len(np.unique(fitted.labels_[some])) < 2:
            continue
        scores = silhouette_samples(features[some], fitted.labels_[some])
        if best is None or scores.mean() > best.silhouette:
            order = np.argsort(-np.bincount(fitted.labels_, minlength=count), kind="stable")
            rank = np.empty(count, dtype=np.int64)
            rank[order] = np.arange(count)
            best = Clusters(rank[fitted.labels_], fitted.transform(features).min(axis=1), scores)
    assert best is not None, "two clusters can always be made"
    return best


def measure(subject: Subject) -> Family | None:
    """Clusters of the surroundings of the subject, and of whole images."""
    book = FamilyBuilder("sources", "Hidden sources", subject.watch)
    some = subject.sample(FROM)
    some = some[np.argsort(subject.images.ids[some], kind="stable")]
    if len(some) < 50:
        return None
    kinds = {"surroundings": _surroundings(subject, some), "whole_image": subject.vectors[some]}
    for key, features in kinds.items():
        if features is None:
            book.note("Surroundings are left out: these images have none, or all have the same.")
            continue
        axes = PrincipalAxes.of(np.asarray(features, dtype=np.float32), DIMENSIONS)
        _describe(book, subject, some, key, clusters_of(axes(np.asarray(features, dtype=np.float32))))
    return book.close()


def _surroundings(subject: Subject, some: Indices) -> npt.NDArray[np.float64] | None:
    """Border, background and mean colour, each with the same say."""
    parts = []
    for name in CUES_OF_SURROUNDINGS:
        features = cue_features(name, subject.images, some, {})
        if features is None:
            return None
        centred = features - features.mean(axis=0)
        parts.append(centred / np.sqrt((centred**2).sum(axis=1).mean()))
    return np.hstack(parts)


def _describe(book: FamilyBuilder, subject: Subject, some: Indices, key: str, found: Clusters) -> None:
    labels = subject.images.labels[some]
    strength = cramers_v(found.members, labels)
    apart = found.silhouette >= APART
    word = key.replace("_", " ")
    book.add(
        f"clusters_{key}_silhouette",
        f"{found.count} clusters by {word}: how far apart (silhouette)",
        found.silhouette,
        normal_mean(found.silhouettes),
        len(found.silhouettes),
        f"From {APART} images fall into kinds; below, the clusters cut up a continuum. Look at the "
        "pictures: are they "
        "cameras, backgrounds, sites?",
    )

    def without(kept: Indices) -> float:
        return cramers_v(found.members[order[kept]], labels[order[kept]])

    order = np.random.default_rng(SEED).permutation(len(some))
    alarm = (
        f"Images fall into {found.count} kinds by their {word}, which go with class (Cramér's V "
        f"{strength:.2f}): a "
        "possible hidden source."
    )
    book.add(
        f"clusters_{key}_cramers_v",
        f"Cramér's V of clusters by {word} with class",
        strength,
        jackknife(without, len(some), strength, least=0.0, most=1.0),
        len(some),
        "Hypothesis: if the kinds are sources and sources go with class, a student learns sources. If "
        "the kinds are "
        "what the classes mean, all is well: numbers cannot tell, people can.",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=alarm if apart and strength >= STRONG and key == "surroundings" else "",
    )
    shares = np.zeros((found.count, len(subject.classes)))
    np.add.at(shares, (found.members, labels), 1)
    sizes = np.maximum(shares.sum(axis=0), 1)
    listed = range(min(12, len(subject.classes)))
    rows: tuple[tuple[str | int, ...], ...] = tuple(
        (f"kind {c + 1}", int(shares[c].sum()), *(f"{100 * shares[c, i] / sizes[i]:.0f} %" for i in listed))
        for c in range(found.count)
    )
    book.tabulate(
        Grid(
            f"Kinds by {word}: share of each class", ("kind", "images", *subject.classes[: len(listed)]), rows
        )
    )
    strips = _strips(subject, some, found, shares)
    book.show(
        Gallery(
            f"Kinds by {word}",
            "The images nearest to the middle of each kind.",
            strips,
        )
    )


def _strips(
    subject: Subject, some: Indices, found: Clusters, shares: npt.NDArray[np.float64]
) -> tuple[tuple[str, tuple[Picture, ...]], ...]:
    """Typical images of each kind, class by class if there are few of both."""
    labels = subject.images.labels[some]
    apart = found.count * len(subject.classes) <= MOST_STRIPS
    strips = []
    for kind in range(found.count):
        members = np.flatnonzero(found.members == kind)
        members = members[np.argsort(found.distance[members], kind="stable")]
        own = labels[members]
        parts = [members[own == label] for label in np.unique(own)] if apart else [_in_turn(members, own)]
        for part in parts:
            label = labels[part[0]]
            title = f"kind {kind + 1}, {int(shares[kind].sum()):,} images"
            if apart:
                share = 100 * shares[kind, label] / shares[:, label].sum()
                title = f"kind {kind + 1}: {share:.0f} % of {subject.classes[label]}"
            pictures = (subject.picture(int(some[p]), subject.label(int(some[p]))) for p in part[:EXAMPLES])
            strips.append((title, tuple(pictures)))
    return tuple(strips)


def _in_turn(members: Indices, labels: Indices) -> Indices:
    """Members so ordered that their classes take turns."""
    turn = np.zeros(len(members), dtype=np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    return members[np.argsort(turn, kind="stable")]
