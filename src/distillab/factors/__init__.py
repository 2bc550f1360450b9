"""What we vary about a dataset, one property a file, and how studies write it down."""

from distillab.factors.chain import Step, apply_chain, apply_factor, generator, parse_factors
from distillab.factors.factor import Factor, Level, Manipulation, Role, Scene, factor, factors, level_text
from distillab.factors.imbalance import Imbalance
from distillab.factors.label_noise import LabelNoise
from distillab.factors.redundancy import Redundancy
from distillab.factors.selection import Selection
from distillab.factors.size import Size
from distillab.factors.unlabelled import Unlabelled

__all__ = [
    "Factor",
    "Imbalance",
    "LabelNoise",
    "Level",
    "Manipulation",
    "Redundancy",
    "Role",
    "Scene",
    "Selection",
    "Size",
    "Step",
    "Unlabelled",
    "apply_chain",
    "apply_factor",
    "factor",
    "factors",
    "generator",
    "level_text",
    "parse_factors",
]
