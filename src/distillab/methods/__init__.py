"""Ways to transfer what a teacher knows, one a file, and the controls they are judged against."""

from distillab.methods.ce import CrossEntropy
from distillab.methods.dkd import DecoupledDistillation
from distillab.methods.kd import Distillation
from distillab.methods.label_smoothing import LabelSmoothing
from distillab.methods.method import Batch, Method, Need, Pair, TeacherKind, method, methods
from distillab.methods.random_teacher import RandomTeacher
from distillab.methods.self_distillation import SelfDistillation
from distillab.methods.spec import MethodSpec, build_method, parse_method

__all__ = [
    "Batch",
    "CrossEntropy",
    "DecoupledDistillation",
    "Distillation",
    "LabelSmoothing",
    "Method",
    "MethodSpec",
    "Need",
    "Pair",
    "RandomTeacher",
    "SelfDistillation",
    "TeacherKind",
    "build_method",
    "method",
    "methods",
    "parse_method",
]
