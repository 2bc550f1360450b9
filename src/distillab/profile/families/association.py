"""Attributes that the data already have, and how far they go with the class."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, wilson
from distillab.profile.measure import Family, Grid, Interval
from distillab.profile.subject import Subject

STRONG = 0.3  # Cramer's V from which an association is said aloud
MOST_VALUES = 200  # of an attribute; one with more is a name rather than a group


def cramers_v(attribute: Indices, labels: Indices) -> float:
    """Association of two names, from 0 (none) to 1 (each tells the other), corrected for chance.

    Cramer 1946, with the correction of Bergsma (Journal of the Korean Statistical Society 2013).

    Args:
        attribute, labels: int64 ``[N]``, not negative.
    """
    table = _crossed(attribute, labels)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    fewer = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi / fewer)) if fewer > 0 else 0.0


def attributes(subject: Subject) -> dict[str, tuple[Indices, tuple[str, ...]]]:
    """The attributes of the images: values int64 ``[N]`` and their names."""
    found: dict[str, tuple[Indices, tuple[str, ...]]] = {}
    images = subject.images
    if images.groups is not None:
        found["group"] = (images.groups, images.group_names)
    columns = subject.file_columns()
    if "width" in columns:
        sizes, values = np.unique(
            np.stack([columns["width"], columns["height"]], axis=1), axis=0, return_inverse=True
        )
        found["image_size"] = (values.reshape(-1).astype(np.int64), tuple(f"{w}x{h}" for w, h in sizes))
    if subject.files is not None and "bytes" in columns:
        rows = subject.files.rows(images.ids)
        kinds = [subject.files.names[row].rpartition(".")[2].lower() for row in rows]
        names, values = np.unique(kinds, return_inverse=True)
        if all(name.isalnum() and len(name) <= 5 for name in names):
            found["file_type"] = (values.astype(np.int64), tuple(str(name) for name in names))
    return {name: (v, names) for name, (v, names) in found.items() if 2 <= len(np.unique(v)) <= MOST_VALUES}


def measure(subject: Subject) -> Family | None:
    """Cramer's V of each attribute with class; and the smallest cell of class and attribute."""
    book = FamilyBuilder("association", "Attributes and class", subject.watch)
    labels, n = subject.images.labels, len(subject.images)
    order = subject.sample(n)
    for name, (values, names) in attributes(subject).items():
        strength = cramers_v(values, labels)
        word = name.replace("_", " ")
        book.add(
            f"cramers_v_{name}",
            f"Cramér's V of {word} with class",
            strength,
            _interval(values, labels, strength, order),
            n,
            "Hypothesis: a student distilled on data that carry a shortcut takes it up even from a "
            "teacher that does "
            "not; report the worst group, not the average.",
            hypothesis=True,
            claims=("C23", "C26"),
            alarm=f"{word.capitalize()} goes with class (Cramér's V {strength:.2f}): a possible shortcut."
            if strength >= STRONG
            else "",
        )
        table = _crossed(values, labels)
        shares = table / np.maximum(table.sum(axis=0), 1)
        cells = np.ix_(np.unique(values), np.unique(labels))
        row, column = np.unravel_index(shares[cells].argmin(), shares[cells].shape)
        count, of_class = int(table[cells][row, column]), int(table[cells][:, column].sum())
        book.add(
            f"smallest_cell_{name}",
            f"smallest share of a {word} within a class",
            count / of_class,
            wilson(count, of_class),
            of_class,
            "A class that is never seen without its attribute cannot be told from it by any student.",
            unit="share",
        )
        rows = tuple(
            (
                names[value],
                *(f"{100 * shares[value, label]:.1f} %" for label in range(min(12, len(subject.classes)))),
            )
            for value in np.unique(values)[:24]
        )
        book.tabulate(Grid(f"Share of each {word} within each class", (word, *subject.classes[:12]), rows))
    family = book.close()
    return family if family.measures else None


def _interval(values: Indices, labels: Indices, strength: float, order: Indices) -> Interval:
    def without(kept: Indices) -> float:
        return cramers_v(values[order[kept]], labels[order[kept]])

    return jackknife(without, len(values), strength, least=0.0, most=1.0)


def _crossed(attribute: Indices, labels: Indices) -> npt.NDArray[np.int64]:
    """How often each value meets each class: int64 ``[A, C]``."""
    rows, columns = int(attribute.max()) + 1, int(labels.max()) + 1
    counts = np.bincount(attribute * columns + labels, minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.int64)
