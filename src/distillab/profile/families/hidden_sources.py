"""Hidden sources: clusters of images without a given attribute, and their association with class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from distillab.data.examples import Indices
from distillab.modalities.embedding.principal import PrincipalAxes
from distillab.profile.cues import (
    CueFeatures,
    cue_features,
    image_features,
    mean_color,
    middle_border,
    middle_colors,
    middle_of,
)
from distillab.profile.families.association import STRONG_ASSOCIATION, corrected_cramers_v
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, mean_interval
from distillab.profile.measure import Family, Gallery, Grid, Picture
from distillab.profile.profiled_dataset import SAMPLING_SEED, ProfiledDataset

_SAMPLE_SIZE = 4_000
_SMALLEST_SAMPLE = 50
_SILHOUETTE_SAMPLE_SIZE = 1_500  # silhouettes have quadratic cost
_MOST_CLUSTERS = 8
_DIMENSIONS = 8
_SEPARATE = 0.25  # silhouette from which clusters are called separate (Kaufman and Rousseeuw 1990)
_IMAGES_SHOWN = 8
_MOST_ROWS = 24  # of pictures; beyond it, the classes of a cluster share a row
_CLASSES_SHOWN = 12
# Clusters by surroundings are possible sources if they are associated with class more strongly, by this much,
# than clusters of the middle of the images by the same features (benchmarks/shortcut_alarm.py).
_BEYOND_MIDDLE = 0.1
_SURROUNDING_CUES = ("border", "background", "mean_colour")


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of images.

    Attributes:
        members: int64 ``[N]``, the cluster of each image; cluster 0 is the largest.
        distance: float64 ``[N]``, distance to the center of the own cluster.
        silhouettes: float64 ``[M]`` of a sample of the images, from -1 to 1: how separate the clusters are.
    """

    members: Indices
    distance: npt.NDArray[np.float64]
    silhouettes: npt.NDArray[np.float64]

    @property
    def silhouette(self) -> float:
        """Mean silhouette."""
        return float(self.silhouettes.mean())

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.members.max()) + 1


def find_clusters(features: npt.NDArray[np.floating[Any]]) -> Clusters:
    """Cluster by k-means with the number of clusters, 2 to 8, of the largest mean silhouette.

    Args:
        features: float ``[N, F]``.
    """
    best: Clusters | None = None
    sample = np.random.default_rng(SAMPLING_SEED).permutation(len(features))[:_SILHOUETTE_SAMPLE_SIZE]
    for count in range(2, min(_MOST_CLUSTERS, len(features) - 1) + 1):
        fitted = KMeans(count, n_init=3, random_state=SAMPLING_SEED).fit(features)
        if len(np.unique(fitted.labels_[sample])) < 2:
            continue
        silhouettes = silhouette_samples(features[sample], fitted.labels_[sample])
        if best is None or silhouettes.mean() > best.silhouette:
            order = np.argsort(-np.bincount(fitted.labels_, minlength=count), kind="stable")
            rank = np.empty(count, dtype=np.int64)
            rank[order] = np.arange(count)
            best = Clusters(rank[fitted.labels_], fitted.transform(features).min(axis=1), silhouettes)
    assert best is not None, "k-means with two clusters always succeeds"
    return best


def measure_hidden_sources(data: ProfiledDataset) -> Family | None:
    """Cluster images by the surroundings of their subject and as a whole."""
    family = FamilyBuilder("sources", "Hidden sources", data.watch)
    sample = data.sample(_SAMPLE_SIZE)
    sample = sample[np.argsort(data.images.ids[sample], kind="stable")]
    if len(sample) < _SMALLEST_SAMPLE:
        return None
    spaces = {"surroundings": _surroundings(data, sample), "whole_image": data.vectors[sample]}
    for key, features in spaces.items():
        if features is None:
            family.add_note("Surroundings are left out: these images have none, or all have the same.")
            continue
        clusters = _clusters(features)
        _add_separation(family, key, clusters)
        _add_association(family, data, sample, key, clusters)
        _add_pictures(family, data, sample, key, clusters)
    return family.build()


def _clusters(features: npt.NDArray[np.floating[Any]]) -> Clusters:
    """Return clusters on the principal axes of features."""
    values = np.asarray(features, dtype=np.float32)
    return find_clusters(PrincipalAxes.of(values, _DIMENSIONS)(values))


def is_possible_source(clusters: Clusters, labels: Indices, middle: CueFeatures | None) -> bool:
    """Return True if clusters by surroundings are separate and follow the class more than the middle does.

    Args:
        clusters: Clusters of N images.
        labels: int64 ``[N]``.
        middle: Features of the middle of the images, float ``[N, F]``; None if they are all the same.
    """
    strength = corrected_cramers_v(clusters.members, labels)
    if clusters.silhouette < _SEPARATE or strength < STRONG_ASSOCIATION:
        return False
    of_middle = 0.0 if middle is None else corrected_cramers_v(_clusters(middle).members, labels)
    return strength - of_middle >= _BEYOND_MIDDLE


def _surroundings(data: ProfiledDataset, sample: Indices) -> npt.NDArray[np.float64] | None:
    """Return border, background and mean color, scaled to the same total variance."""
    parts = []
    for name in _SURROUNDING_CUES:
        features = cue_features(name, data.images, sample, {})
        if features is None:
            return None
        parts.append(features)
    return _scaled(parts)


def _middle(data: ProfiledDataset, sample: Indices) -> npt.NDArray[np.float64] | None:
    """Return the same features of the middle of the images; None if none varies."""
    images = data.images.select(sample)
    extracts = (middle_border, middle_colors, lambda pixels: mean_color(middle_of(pixels)))
    parts = [found for extract in extracts if (found := image_features(extract, images)) is not None]
    return _scaled(parts) if parts else None


def _scaled(parts: list[CueFeatures]) -> npt.NDArray[np.float64]:
    """Return features side by side, each part scaled to the same total variance."""
    centered = [part - part.mean(axis=0) for part in parts]
    return np.hstack([part / np.sqrt((part**2).sum(axis=1).mean()) for part in centered])


def _add_separation(family: FamilyBuilder, key: str, clusters: Clusters) -> None:
    family.add(
        f"clusters_{key}_silhouette",
        f"{clusters.count} clusters by {key.replace('_', ' ')}: separation (silhouette)",
        clusters.silhouette,
        mean_interval(clusters.silhouettes),
        len(clusters.silhouettes),
        f"From {_SEPARATE} the images form separate clusters; below, the clusters divide a continuum. "
        "Look at the pictures: are they cameras, backgrounds, sites?",
    )


def _add_association(
    family: FamilyBuilder, data: ProfiledDataset, sample: Indices, key: str, clusters: Clusters
) -> None:
    labels, name = data.images.labels[sample], key.replace("_", " ")
    strength = corrected_cramers_v(clusters.members, labels)
    order = np.random.default_rng(SAMPLING_SEED).permutation(len(sample))

    def of_kept(kept: Indices) -> float:
        return corrected_cramers_v(clusters.members[order[kept]], labels[order[kept]])

    possible = key == "surroundings" and is_possible_source(clusters, labels, _middle(data, sample))
    alarm = (
        f"Images form {clusters.count} clusters by their {name}, which are associated with class (Cramér's V "
        f"{strength:.2f}), more than clusters of their middle: a possible hidden source."
    )
    family.add(
        f"clusters_{key}_cramers_v",
        f"Cramér's V of clusters by {name} with class",
        strength,
        jackknife_interval(of_kept, len(sample), strength, minimum=0.0, maximum=1.0),
        len(sample),
        "Hypothesis: if the clusters are sources and the sources are associated with class, a student learns "
        "the sources. If the clusters are what defines the classes, there is no problem: the numbers cannot "
        "decide, the pictures can.",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=alarm if possible else "",
    )


def _add_pictures(
    family: FamilyBuilder, data: ProfiledDataset, sample: Indices, key: str, clusters: Clusters
) -> None:
    labels, name = data.images.labels[sample], key.replace("_", " ")
    counts = np.zeros((clusters.count, len(data.classes)))
    np.add.at(counts, (clusters.members, labels), 1)
    sizes = np.maximum(counts.sum(axis=0), 1)
    shown = range(min(_CLASSES_SHOWN, len(data.classes)))
    rows: tuple[tuple[str | int, ...], ...] = tuple(
        (
            f"cluster {c + 1}",
            int(counts[c].sum()),
            *(f"{100 * counts[c, i] / sizes[i]:.0f} %" for i in shown),
        )
        for c in range(clusters.count)
    )
    columns = ("cluster", "images", *data.classes[: len(shown)])
    family.add_grid(Grid(f"Clusters by {name}: share of each class", columns, rows))
    family.add_gallery(
        Gallery(
            f"Clusters by {name}",
            "The images nearest to the center of each cluster.",
            _rows_of_pictures(data, sample, clusters, counts),
        )
    )


def _rows_of_pictures(
    data: ProfiledDataset, sample: Indices, clusters: Clusters, counts: npt.NDArray[np.float64]
) -> tuple[tuple[str, tuple[Picture, ...]], ...]:
    """Return typical images of each cluster, class by class if there are few of both."""
    labels = data.images.labels[sample]
    by_class = clusters.count * len(data.classes) <= _MOST_ROWS
    rows = []
    for cluster in range(clusters.count):
        members = np.flatnonzero(clusters.members == cluster)
        members = members[np.argsort(clusters.distance[members], kind="stable")]
        own = labels[members]
        parts = (
            [members[own == label] for label in np.unique(own)] if by_class else [_alternate(members, own)]
        )
        for part in parts:
            label = labels[part[0]]
            title = f"cluster {cluster + 1}, {int(counts[cluster].sum()):,} images"
            if by_class:
                share = 100 * counts[cluster, label] / counts[:, label].sum()
                title = f"cluster {cluster + 1}: {share:.0f} % of {data.classes[label]}"
            pictures = (
                data.picture(int(sample[p]), data.class_name(int(sample[p]))) for p in part[:_IMAGES_SHOWN]
            )
            rows.append((title, tuple(pictures)))
    return tuple(rows)


def _alternate(members: Indices, labels: Indices) -> Indices:
    """Reorder members so that their classes alternate."""
    turn = np.zeros(len(members), dtype=np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    return members[np.argsort(turn, kind="stable")]
