"""Ways to transfer what a teacher knows, one a file, and the controls they are judged against."""

from distillab.methods.attention_transfer import AttentionTransfer
from distillab.methods.ce import CrossEntropy
from distillab.methods.dist import CorrelationDistillation
from distillab.methods.dkd import DecoupledDistillation
from distillab.methods.kd import Distillation
from distillab.methods.label_smoothing import LabelSmoothing
from distillab.methods.method import Batch, Method, Mixed, Need, Pair, TeacherKind, method, methods
from distillab.methods.random_teacher import RandomTeacher
from distillab.methods.rkd import RelationalDistillation
from distillab.methods.self_distillation import SelfDistillation
from distillab.methods.spec import MethodSpec, build_method, parse_method

__all__ = [
    "AttentionTransfer",
    "Batch",
    "CorrelationDistillation",
    "CrossEntropy",
    "DecoupledDistillation",
    "Distillation",
    "LabelSmoothing",
    "Method",
    "MethodSpec",
    "Mixed",
    "Need",
    "Pair",
    "RandomTeacher",
    "RelationalDistillation",
    "SelfDistillation",
    "TeacherKind",
    "build_method",
    "method",
    "methods",
    "parse_method",
]
