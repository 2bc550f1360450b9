"""Exact duplicates and near copies, within a split and across splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from distillab.data.duplicates import content
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.resplit import merge_splits
from distillab.evidence.wording import listed
from distillab.modalities.embedding.near_copies import find_near_copies
from distillab.modalities.embedding.near_leaks import near_pairs
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import wilson_interval
from distillab.profile.measure import Family, Gallery, Picture, exact_interval
from distillab.profile.neighbors import unit_vectors
from distillab.profile.profiled_dataset import ProfiledDataset
from distillab.profile.similar_content import MOST_COMPARED, find_similar
from distillab.sources.near_copies import MOST_PAIRS

_PAIRS_SHOWN = 8
_ALARM_LEAK = 0.005  # share of a held-out split


@dataclass(frozen=True, eq=False)
class DuplicatePairs:
    """Pairs of duplicates in a set of images.

    Attributes:
        first: int64 ``[P]``, positions.
        second: int64 ``[P]``, positions, larger than ``first``.
        exact: bool ``[P]``, whether all pixels are equal.
    """

    first: Indices
    second: Indices
    exact: np.ndarray

    def select(self, mask: np.ndarray) -> DuplicatePairs:
        """Return the pairs selected by a mask, bool ``[P]``."""
        return DuplicatePairs(self.first[mask], self.second[mask], self.exact[mask])


def measure_duplicates(data: ProfiledDataset) -> Family:
    """Measure exact duplicates and near copies, conflicting labels, and test images that occur in train."""
    family = FamilyBuilder("duplicates", "Duplicates and leaks", data.watch)
    images = merge_splits([data.images, *data.held_out.values()])
    split = np.zeros(len(images), dtype=np.int64)
    for number, part in enumerate(data.held_out.values(), 1):
        split[np.isin(images.ids, part.ids)] = number
    embedding = None if images.modality == IMAGE else data.embedding
    with data.watch.charging("duplicates"):
        vectors = None if embedding is None else unit_vectors(embedding.vectors(images))
        if vectors is None:
            near = [np.stack(find_near_copies(images)), *_across(images, split)]
        else:
            near = [np.stack(find_similar(images, vectors, data.sample(len(images), images)))]
        pairs = _find_pairs(images, split, near)
    if vectors is not None and len(images) > MOST_COMPARED:
        family.add_note(f"Near copies were searched among {MOST_COMPARED:,} images, drawn at random.")
    within = pairs.select((split[pairs.first] == 0) & (split[pairs.second] == 0))
    _add_repeats(family, within, len(data.images))
    conflicting = images.labels[within.first] != images.labels[within.second]
    conflicts = int(conflicting.sum())
    family.add(
        "duplicate_label_conflicts",
        "pairs of duplicates with different labels",
        conflicts,
        exact_interval(conflicts),
        len(within.first),
        "One of the two labels is wrong, or the classes overlap: review these pairs before training.",
        unit="count",
        alarm=_conflict_alarm(conflicts) if conflicts else "",
    )
    title = "Duplicates within the profiled images"
    family.add_gallery(_gallery(data, images, within, title, first_shown=conflicting))
    for number in range(1, len(data.held_out) + 1):
        across = pairs.select(
            (split[pairs.first] != split[pairs.second])
            & ((split[pairs.first] == number) | (split[pairs.second] == number))
        )
        _add_leaks(family, data, images, across, split, number)
    return family.build()


def _conflict_alarm(count: int) -> str:
    return (
        f"{count} pair{'s' if count > 1 else ''} of duplicates {'have' if count > 1 else 'has'} two labels."
    )


def _find_pairs(images: Examples, split: Indices, near: Sequence[Indices]) -> DuplicatePairs:
    """Return near copies (int64 ``[2, P]`` each), and each image with the first equal image of every split.

    Equal images are found separately, since near copies cannot be found among images without any detail, such
    as blank pages and black scans.
    """
    _, codes = content(images.pool.items, modality=images.modality)
    codes, n = codes[images.rows], len(images)
    parts = [*near]
    for number in np.unique(split):
        first_with_code = np.full(int(codes.max()) + 1, -1)
        inside = np.flatnonzero(split == number)
        first_with_code[codes[inside[::-1]]] = inside[::-1]
        first = first_with_code[codes]
        repeated = np.flatnonzero((first >= 0) & (first != np.arange(n)))
        parts.append(np.sort(np.stack([first[repeated], repeated]), axis=0))
    pairs = np.unique(np.concatenate(parts, axis=1), axis=1)
    return DuplicatePairs(pairs[0], pairs[1], codes[pairs[0]] == codes[pairs[1]])


def _across(images: Examples, split: Indices) -> list[Indices]:
    """Return all near copies between each two splits, int64 ``[2, P]`` each: none is missed."""
    found = []
    inside = [np.flatnonzero(split == number) for number in np.unique(split)]
    for one, other in combinations(inside, 2):
        if len(one) * len(other) <= MOST_PAIRS:
            first, second = near_pairs(images.select(one), images.select(other))
            found.append(np.sort(np.stack([one[first], other[second]]), axis=0))
    return found


def _add_repeats(family: FamilyBuilder, within: DuplicatePairs, n: int) -> None:
    repeats = {
        "exact": np.unique(within.second[within.exact]),
        "near": np.setdiff1d(within.second[~within.exact], within.second[within.exact]),
    }
    for kind, positions in repeats.items():
        what = "exact duplicates" if kind == "exact" else "near copies"
        family.add(
            f"{kind}_duplicates",
            f"images that are {what} of another one",
            len(positions) / n,
            wilson_interval(len(positions), n),
            n,
            "They count twice in the loss, and make the dataset look larger than it is.",
            unit="share",
        )
    repeated = len(np.unique(within.second))
    family.add(
        "effective_images",
        "different images",
        n - repeated,
        exact_interval(n - repeated),
        n,
        "The relevant size wherever conclusions depend on dataset size.",
        unit="count",
        claims=("C1",),
        hypothesis=True,
    )


def _add_leaks(
    family: FamilyBuilder,
    data: ProfiledDataset,
    images: Examples,
    across: DuplicatePairs,
    split: Indices,
    number: int,
) -> None:
    names, inside = ["train", *data.held_out], split == number
    near = "only by `duplicates: {near: drop}`" if images.modality == IMAGE else "stay there"
    name, size = names[number], int(inside.sum())
    for kind, pairs in {"exact": across.select(across.exact), "near": across.select(~across.exact)}.items():
        leaked = np.unique(np.concatenate([pairs.first, pairs.second]))
        others = listed(names[other] for other in np.unique(split[leaked]) if other != number)
        leaked = leaked[inside[leaked]]
        share = len(leaked) / size
        what = "exact duplicates" if kind == "exact" else "near copies"
        family.add(
            f"{kind}_leak_{name}",
            f"{name} images that also occur in another split, {what}",
            share,
            wilson_interval(len(leaked), size),
            size,
            "Memorization is rewarded, and gains of distillation are underestimated. Exact duplicates are "
            f"removed from train by default, near copies {near}.",
            unit="share",
            alarm=f"{100 * share:.1f} % of {name} also occurs in {others} ({what})."
            if share >= _ALARM_LEAK
            else "",
        )
    title = f"Duplicates across splits: {name}"
    family.add_gallery(_gallery(data, images, across, title, first_shown=~across.exact))


def _gallery(
    data: ProfiledDataset, images: Examples, pairs: DuplicatePairs, title: str, first_shown: np.ndarray
) -> Gallery:
    """Show some pairs, beginning with those of the mask ``first_shown``."""
    order = np.lexsort((images.ids[pairs.first], ~first_shown))[:_PAIRS_SHOWN]
    rows: list[tuple[str, tuple[Picture, ...]]] = []
    for p in order:
        both = (int(pairs.first[p]), int(pairs.second[p]))
        pictures = tuple(data.picture(i, data.classes[images.labels[i]], images) for i in both)
        rows.append(("exact duplicate" if pairs.exact[p] else "near copy", pictures))
    more = len(pairs.first) - len(rows)
    return Gallery(title, f"{more:,} more pairs are not shown." if more > 0 else "", tuple(rows))
