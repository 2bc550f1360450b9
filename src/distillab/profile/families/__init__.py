"""Families of measures, one per file, in the order in which a profile shows them.

A family is a function of the profiled dataset. Adding one takes one file and one line of :data:`FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable

from distillab.profile.families.appearance import measure_appearance
from distillab.profile.families.association import measure_association
from distillab.profile.families.content import measure_content
from distillab.profile.families.dataset_distance import measure_distance
from distillab.profile.families.dimension import measure_dimension
from distillab.profile.families.duplicates import measure_duplicates
from distillab.profile.families.granularity import measure_granularity
from distillab.profile.families.hidden_sources import measure_hidden_sources
from distillab.profile.families.imbalance import measure_imbalance
from distillab.profile.families.label_issues import measure_label_issues
from distillab.profile.families.separability import measure_separability
from distillab.profile.families.shortcuts import measure_shortcuts
from distillab.profile.families.size import measure_size
from distillab.profile.families.teacher_outputs import measure_teacher_outputs
from distillab.profile.measure import Family
from distillab.profile.profiled_dataset import ProfiledDataset

MeasureFamily = Callable[[ProfiledDataset], Family | None]
"""Measures a family; returns None if the family does not apply to the data."""

FAMILIES: dict[str, MeasureFamily] = {
    "size": measure_size,
    "content": measure_content,
    "imbalance": measure_imbalance,
    "labels": measure_label_issues,
    "duplicates": measure_duplicates,
    "shortcuts": measure_shortcuts,
    "sources": measure_hidden_sources,
    "association": measure_association,
    "appearance": measure_appearance,
    "separability": measure_separability,
    "granularity": measure_granularity,
    "dimension": measure_dimension,
    "distance": measure_distance,
    "teacher": measure_teacher_outputs,
}

IMAGES_ONLY = {
    "shortcuts": ("Shortcuts", "Border, background, color and detail are cues of images only."),
    "sources": ("Hidden sources", "Surroundings are those of images only."),
    "appearance": ("Color and texture", "Brightness, color, edges and noise are measured of images only."),
}
"""Families of which other examples have none: their title, and the reason in one line."""

__all__ = ["FAMILIES", "IMAGES_ONLY", "MeasureFamily"]
