"""Ways to transfer what a teacher knows, one a file, and the controls they are judged against."""

from distillab.methods import controls, features, logits, regimes, relations, robust
from distillab.methods.method import (
    Batch,
    Method,
    Mixed,
    Need,
    Pair,
    TeacherKind,
    WeightedConfig,
    method,
    methods,
)
from distillab.methods.spec import MethodSpec, build_method, parse_method

__all__ = [
    "Batch",
    "Method",
    "MethodSpec",
    "Mixed",
    "Need",
    "Pair",
    "TeacherKind",
    "WeightedConfig",
    "build_method",
    "controls",
    "features",
    "logits",
    "method",
    "methods",
    "parse_method",
    "regimes",
    "relations",
    "robust",
]
