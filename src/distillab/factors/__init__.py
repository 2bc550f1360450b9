"""What a study varies about a dataset: one property per file, and how studies write it down."""

from distillab.factors.chain import ApplyFactor, apply_chain, apply_factor, generator, parse_factors
from distillab.factors.factor import (
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Role,
    factor,
    factors,
    level_text,
)
from distillab.factors.inputs.redundancy import Redundancy
from distillab.factors.inputs.resolution import Resolution
from distillab.factors.inputs.shift import Shift
from distillab.factors.inputs.spurious import Spurious
from distillab.factors.label_quality import describe_label_quality
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
    "ApplyFactor",
    "Classes",
    "Factor",
    "FactorContext",
    "Granularity",
    "Groups",
    "Imbalance",
    "LabelNoise",
    "Level",
    "Manipulation",
    "Redundancy",
    "Resolution",
    "Role",
    "Selection",
    "Shift",
    "Similarity",
    "Size",
    "Spurious",
    "Unlabelled",
    "apply_chain",
    "apply_factor",
    "describe_label_quality",
    "factor",
    "factors",
    "generator",
    "level_text",
    "parse_factors",
]
