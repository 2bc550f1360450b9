"""The same image more than once, to the pixel or nearly, within a split and across splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distillab.data.duplicates import content
from distillab.data.examples import Examples, Indices
from distillab.evidence.wording import listed
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import wilson
from distillab.profile.measure import Family, Gallery, Picture, exact
from distillab.profile.near_copies import copies
from distillab.profile.subject import Subject, joined

SHOWN = 8  # pairs
LEAKED = 0.005  # share of a test set from which it is said aloud


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images of a set, int64 ``[P]`` each, and whether they are equal to the pixel, bool ``[P]``."""

    first: Indices
    second: Indices
    equal: np.ndarray

    def of(self, mask: np.ndarray) -> Pairs:
        """Those of a mask, bool ``[P]``."""
        return Pairs(self.first[mask], self.second[mask], self.equal[mask])


def measure(subject: Subject) -> Family:
    """Exact and near duplicates; those with different labels; and test images that stand in train."""
    book = FamilyBuilder("duplicates", "Duplicates and leaks", subject.watch)
    everything = joined([subject.images, *subject.held_out.values()])
    split = np.zeros(len(everything), dtype=np.int64)
    for number, part in enumerate(subject.held_out.values(), 1):
        split[np.isin(everything.ids, part.ids)] = number
    with subject.watch.charging("duplicates"):
        found = _pairs(everything, split)
    inside = found.of((split[found.first] == 0) & (split[found.second] == 0))
    n = len(subject.images)
    _within(book, everything, inside, n)
    labels = everything.labels
    conflicts = int((labels[inside.first] != labels[inside.second]).sum())
    book.add(
        "duplicate_label_conflicts",
        "pairs of duplicates with different labels",
        conflicts,
        exact(conflicts),
        len(inside.first),
        "One of the two labels is wrong, or the classes overlap: see them before training.",
        unit="count",
        alarm=_conflicts(conflicts) if conflicts else "",
    )
    book.show(
        _gallery(
            subject,
            everything,
            inside,
            "Duplicates within the profiled images",
            prefer=labels[inside.first] != labels[inside.second],
        )
    )
    for number in range(1, len(subject.held_out) + 1):
        across = found.of(
            (split[found.first] != split[found.second])
            & ((split[found.first] == number) | (split[found.second] == number))
        )
        _across(book, subject, everything, across, split, number)
    return book.close()


def _conflicts(count: int) -> str:
    return (
        f"{count} pair{'s' if count > 1 else ''} of duplicates {'have' if count > 1 else 'has'} two labels."
    )


def _pairs(images: Examples, split: Indices) -> Pairs:
    """Pairs that look alike; and of images that are equal, each with the first such one of every split. There
    are images in which nothing can be compared but every pixel: blank pages, black scans."""
    _, codes = content(images.pool.items)
    codes, n = codes[images.rows], len(images)
    alike = [np.stack(copies(images))]
    for number in np.unique(split):
        first_of = np.full(int(codes.max()) + 1, -1)
        inside = np.flatnonzero(split == number)
        first_of[codes[inside[::-1]]] = inside[::-1]
        first = first_of[codes]
        repeated = np.flatnonzero((first >= 0) & (first != np.arange(n)))
        alike.append(np.sort(np.stack([first[repeated], repeated]), axis=0))
    pairs = np.unique(np.concatenate(alike, axis=1), axis=1)
    return Pairs(pairs[0], pairs[1], codes[pairs[0]] == codes[pairs[1]])


def _within(book: FamilyBuilder, images: Examples, inside: Pairs, n: int) -> None:
    repeats = {
        "exact": np.unique(inside.second[inside.equal]),
        "near": np.setdiff1d(inside.second[~inside.equal], inside.second[inside.equal]),
    }
    for kind, positions in repeats.items():
        what = "equal to the pixel" if kind == "exact" else "nearly equal"
        book.add(
            f"{kind}_duplicates",
            f"images that repeat another one, {what}",
            len(positions) / n,
            wilson(len(positions), n),
            n,
            "They count twice in the loss and in teacher outputs, and make a set look larger than it is.",
            unit="share",
        )
    repeated = len(np.unique(inside.second))
    book.add(
        "effective_images",
        "different images",
        n - repeated,
        exact(n - repeated),
        n,
        "The size that counts where the size of a dataset is what decides.",
        unit="count",
        claims=("C1",),
        hypothesis=True,
    )


def _across(
    book: FamilyBuilder,
    subject: Subject,
    images: Examples,
    across: Pairs,
    split: Indices,
    number: int,
) -> None:
    names, inside = ["train", *subject.held_out], split == number
    name, size = names[number], int(inside.sum())
    for kind, chosen in {"exact": across.of(across.equal), "near": across.of(~across.equal)}.items():
        leaked = np.unique(np.concatenate([chosen.first, chosen.second]))
        met = listed(names[other] for other in np.unique(split[leaked]) if other != number)
        leaked = leaked[inside[leaked]]
        share = len(leaked) / size
        what = "to the pixel" if kind == "exact" else "nearly"
        book.add(
            f"{kind}_leak_{name}",
            f"{name} images that also stand outside of it, {what}",
            share,
            wilson(len(leaked), size),
            size,
            "Students that remember are rewarded, and gains of distilling are understated. Exact copies are "
            "dropped from train by default (`duplicates: drop`), near ones are not.",
            unit="share",
            alarm=f"{100 * share:.1f} % of {name} also stands in {met} ({what})." if share >= LEAKED else "",
        )
    book.show(_gallery(subject, images, across, f"Duplicates across splits: {name}", prefer=~across.equal))


def _gallery(
    subject: Subject,
    images: Examples,
    pairs: Pairs,
    title: str,
    prefer: np.ndarray,
) -> Gallery:
    """Some pairs, the preferred first."""
    order = np.lexsort((images.ids[pairs.first], ~prefer))[:SHOWN]
    rows: list[tuple[str, tuple[Picture, ...]]] = []
    for p in order:
        both = (int(pairs.first[p]), int(pairs.second[p]))
        pictures = tuple(subject.picture(i, subject.classes[images.labels[i]], images) for i in both)
        rows.append(("equal" if pairs.equal[p] else "nearly equal", pictures))
    more = len(pairs.first) - len(rows)
    return Gallery(title, f"{more:,} more pairs are not shown." if more > 0 else "", tuple(rows))
