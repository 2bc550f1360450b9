"""The three stages of a distillation, each runnable on its own: teacher, its outputs, students.

Each stage reads image sets and files and writes a folder; none knows of studies or ledgers.
"""

from distillab.training.stages.artefacts import RoleSets, Student
from distillab.training.stages.outputs import OutputsToStore, open_teacher, teacher_outputs
from distillab.training.stages.students import train_student, train_students
from distillab.training.stages.teachers import (
    DistilledFrom,
    ExternalWeights,
    fixed_teacher,
    joint_teacher,
    train_teacher,
)

__all__ = [
    "DistilledFrom",
    "ExternalWeights",
    "OutputsToStore",
    "RoleSets",
    "Student",
    "fixed_teacher",
    "joint_teacher",
    "open_teacher",
    "teacher_outputs",
    "train_student",
    "train_students",
    "train_teacher",
]
