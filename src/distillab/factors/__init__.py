"""What we vary about a dataset, one property a file, and how studies write it down."""

from distillab.factors.chain import ApplyFactor, apply_chain, apply_factor, generator, parse_factors
from distillab.factors.classes import Classes
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
from distillab.factors.granularity import Granularity
from distillab.factors.groups import Groups
from distillab.factors.imbalance import Imbalance
from distillab.factors.label_noise import LabelNoise
from distillab.factors.redundancy import Redundancy
from distillab.factors.resolution import Resolution
from distillab.factors.selection import Selection
from distillab.factors.shift import Shift
from distillab.factors.similarity import Similarity
from distillab.factors.size import Size
from distillab.factors.spurious import Spurious
from distillab.factors.unlabelled import Unlabelled
from distillab.factors.wording import describe_label_quality

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
