"""Methods of knowledge transfer, one file per method, and the controls that they are compared with."""

from distillab.methods import controls, detection, features, logits, regimes, relations, robust
from distillab.methods.batch import Batch, Pair, StrongView
from distillab.methods.method import Method, WeightedConfig, method, methods
from distillab.methods.needs import Need, Requirements, TeacherKind
from distillab.methods.spec import MethodSpec, build_method, parse_method
from distillab.tasks import Mixed

__all__ = [
    "Batch",
    "Method",
    "MethodSpec",
    "Mixed",
    "Need",
    "Pair",
    "Requirements",
    "StrongView",
    "TeacherKind",
    "WeightedConfig",
    "build_method",
    "controls",
    "detection",
    "features",
    "logits",
    "method",
    "methods",
    "parse_method",
    "regimes",
    "relations",
    "robust",
]
