"""Families of measures, one a file, in the order in which a profile tells them."""

from __future__ import annotations

from collections.abc import Callable

from distillab.profile.families import (
    appearance,
    association,
    dimension,
    distance,
    duplicates,
    granularity,
    imbalance,
    label_issues,
    separability,
    shortcuts,
    size,
    sources,
    teacher,
)
from distillab.profile.measure import Family
from distillab.profile.subject import Subject

FAMILIES: dict[str, Callable[[Subject], Family | None]] = {
    "size": size.measure,
    "imbalance": imbalance.measure,
    "labels": label_issues.measure,
    "duplicates": duplicates.measure,
    "shortcuts": shortcuts.measure,
    "sources": sources.measure,
    "association": association.measure,
    "appearance": appearance.measure,
    "separability": separability.measure,
    "granularity": granularity.measure,
    "dimension": dimension.measure,
    "distance": distance.measure,
    "teacher": teacher.measure,
}
"""Each is asked in turn; None says that the family has nothing to say about these data."""

__all__ = ["FAMILIES"]
