"""The three stages of a distillation, each runnable on its own: a teacher, its outputs, students.

Each stage reads examples and files and writes a folder; none knows of studies or ledgers.
"""

from distillab.training.stages.outputs import OutputsToStore, open_network, teacher_outputs
from distillab.training.stages.roles import KeptCurve, RoleSets, StudentSpec
from distillab.training.stages.students import train_student, train_students
from distillab.training.stages.teachers import (
    DistilledFrom,
    ExternalWeights,
    ensemble_teacher,
    fixed_teacher,
    train_teacher,
)

__all__ = [
    "DistilledFrom",
    "ExternalWeights",
    "KeptCurve",
    "OutputsToStore",
    "RoleSets",
    "StudentSpec",
    "ensemble_teacher",
    "fixed_teacher",
    "open_network",
    "teacher_outputs",
    "train_student",
    "train_students",
    "train_teacher",
]
