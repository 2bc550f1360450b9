"""What we vary about a dataset, one property a file, and how studies write it down."""

from distillab.factors.chain import Step, apply_chain, apply_factor, generator, parse_factors
from distillab.factors.classes import Classes
from distillab.factors.factor import Factor, Level, Manipulation, Role, Scene, factor, factors, level_text
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
from distillab.factors.wording import labels_told

__all__ = [
    "Classes",
    "Factor",
    "Granularity",
    "Groups",
    "Imbalance",
    "LabelNoise",
    "Level",
    "Manipulation",
    "Redundancy",
    "Resolution",
    "Role",
    "Scene",
    "Selection",
    "Shift",
    "Similarity",
    "Size",
    "Spurious",
    "Step",
    "Unlabelled",
    "apply_chain",
    "apply_factor",
    "factor",
    "factors",
    "generator",
    "labels_told",
    "level_text",
    "parse_factors",
]
