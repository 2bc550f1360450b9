"""Attributes that the data already have, and their association with the class."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, wilson_interval
from distillab.profile.measure import Family, Grid, Interval
from distillab.profile.profiled_dataset import ProfiledDataset

STRONG_ASSOCIATION = 0.3  # Cramer's V that raises an alarm
_MOST_VALUES = 200  # of an attribute; one with more is a name rather than a group
_CLASSES_SHOWN = 12
_VALUES_SHOWN = 24


def corrected_cramers_v(attribute: Indices, labels: Indices) -> float:
    """Return the association of two categories, from 0 (none) to 1 (one determines the other).

    Cramer 1946, with the correction for chance of Bergsma (Journal of the Korean Statistical Society 2013).

    Args:
        attribute: int64 ``[N]``, not negative.
        labels: int64 ``[N]``, not negative.

    Example:
        >>> labels = np.arange(100) % 2
        >>> round(corrected_cramers_v(labels, labels), 6), corrected_cramers_v(np.zeros(100, int), labels)
        (1.0, 0.0)
    """
    table = _contingency_table(attribute, labels)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    fewer = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi / fewer)) if fewer > 0 else 0.0


def attributes_of(data: ProfiledDataset) -> dict[str, tuple[Indices, tuple[str, ...]]]:
    """Return the attributes of the images: values int64 ``[N]``, and the names of the values."""
    found: dict[str, tuple[Indices, tuple[str, ...]]] = {}
    images = data.images
    if images.groups is not None:
        found["group"] = (images.groups, images.group_names)
    columns = data.file_columns()
    if "width" in columns:
        sizes, values = np.unique(
            np.stack([columns["width"], columns["height"]], axis=1), axis=0, return_inverse=True
        )
        found["image_size"] = (values.reshape(-1).astype(np.int64), tuple(f"{w}x{h}" for w, h in sizes))
    if data.files is not None and "bytes" in columns:
        rows = data.files.rows(images.ids)
        types = [data.files.names[row].rpartition(".")[2].lower() for row in rows]
        names, values = np.unique(types, return_inverse=True)
        if all(name.isalnum() and len(name) <= 5 for name in names):
            found["file_type"] = (values.astype(np.int64), tuple(str(name) for name in names))
    return {name: (v, names) for name, (v, names) in found.items() if 2 <= len(np.unique(v)) <= _MOST_VALUES}


def measure_association(data: ProfiledDataset) -> Family | None:
    """Measure Cramer's V of each attribute with the class, and the smallest cell of class and attribute."""
    family = FamilyBuilder("association", "Attributes and class", data.watch)
    order = data.sample(len(data.images))
    for key, (values, names) in attributes_of(data).items():
        _add_association(family, data, key, values, order)
        _add_smallest_cell(family, data, key, values, names)
    built = family.build()
    return built if built.measures else None


def _add_association(
    family: FamilyBuilder, data: ProfiledDataset, key: str, values: Indices, order: Indices
) -> None:
    labels, name = data.images.labels, key.replace("_", " ")
    strength = corrected_cramers_v(values, labels)
    alarm = f"{name.capitalize()} is associated with class (Cramér's V {strength:.2f}): a possible shortcut."
    family.add(
        f"cramers_v_{key}",
        f"Cramér's V of {name} with class",
        strength,
        _jackknife(values, labels, strength, order),
        len(labels),
        "Hypothesis: a student distilled on data with a shortcut learns it even from a teacher that does not "
        "use it; report the worst group, not only the average.",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=alarm if strength >= STRONG_ASSOCIATION else "",
    )


def _add_smallest_cell(
    family: FamilyBuilder, data: ProfiledDataset, key: str, values: Indices, names: tuple[str, ...]
) -> None:
    labels, name = data.images.labels, key.replace("_", " ")
    table = _contingency_table(values, labels)
    shares = table / np.maximum(table.sum(axis=0), 1)
    cells = np.ix_(np.unique(values), np.unique(labels))
    row, column = np.unravel_index(shares[cells].argmin(), shares[cells].shape)
    count, of_class = int(table[cells][row, column]), int(table[cells][:, column].sum())
    family.add(
        f"smallest_cell_{key}",
        f"smallest share of one {name} within a class",
        count / of_class,
        wilson_interval(count, of_class),
        of_class,
        "If a class never occurs without its attribute, no student can learn to separate the two.",
        unit="share",
    )
    shown = range(min(_CLASSES_SHOWN, len(data.classes)))
    rows = tuple(
        (names[value], *(f"{100 * shares[value, label]:.1f} %" for label in shown))
        for value in np.unique(values)[:_VALUES_SHOWN]
    )
    columns = (name, *data.classes[:_CLASSES_SHOWN])
    family.add_grid(Grid(f"Share of each {name} within each class", columns, rows))


def _jackknife(values: Indices, labels: Indices, strength: float, order: Indices) -> Interval:
    def of_kept(kept: Indices) -> float:
        return corrected_cramers_v(values[order[kept]], labels[order[kept]])

    return jackknife_interval(of_kept, len(values), strength, minimum=0.0, maximum=1.0)


def _contingency_table(attribute: Indices, labels: Indices) -> npt.NDArray[np.int64]:
    """Count how often each value meets each class: int64 ``[A, C]``."""
    rows, columns = int(attribute.max()) + 1, int(labels.max()) + 1
    counts = np.bincount(attribute * columns + labels, minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.int64)
