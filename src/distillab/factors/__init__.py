"""What we vary about a dataset, one property a file, and how studies write it down."""

from distillab.factors.chain import apply_chain, parse_factors
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
    "apply_chain",
    "factor",
    "factors",
    "parse_factors",
]
