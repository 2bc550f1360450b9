"""What we vary about a dataset, one property a file, and how studies write it down."""

from distillab.factors.chain import Step, apply_chain, apply_factor, parse_factors
from distillab.factors.factor import Factor, Manipulation, Role, factor, factors
from distillab.factors.imbalance import Imbalance
from distillab.factors.label_noise import LabelNoise
from distillab.factors.size import Size

__all__ = [
    "Factor",
    "Imbalance",
    "LabelNoise",
    "Manipulation",
    "Role",
    "Size",
    "Step",
    "apply_chain",
    "apply_factor",
    "factor",
    "factors",
    "parse_factors",
]
