"""Factors of the targets: how many examples there are, of which classes, and how they are labelled."""

from distillab.factors.targets.classes import Classes
from distillab.factors.targets.granularity import Granularity
from distillab.factors.targets.groups import Groups
from distillab.factors.targets.imbalance import Imbalance
from distillab.factors.targets.label_noise import LabelNoise
from distillab.factors.targets.selection import Selection
from distillab.factors.targets.similarity import Similarity
from distillab.factors.targets.size import Size
from distillab.factors.targets.unlabelled import Unlabelled

__all__ = [
    "Classes",
    "Granularity",
    "Groups",
    "Imbalance",
    "LabelNoise",
    "Selection",
    "Similarity",
    "Size",
    "Unlabelled",
]
