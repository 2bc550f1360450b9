"""Teachers during training: cached or live, alone or in an ensemble, with the student's classes or others."""

from distillab.training.teachers.budget import BudgetedTeacher, limited_logits
from distillab.training.teachers.class_mapping import (
    MappedTeacher,
    map_classifier,
    map_logits,
    to_student_classes,
)
from distillab.training.teachers.ensembles import member_weights
from distillab.training.teachers.feed import CachedTeacher, LiveTeacher, TeacherFeed

__all__ = [
    "BudgetedTeacher",
    "CachedTeacher",
    "LiveTeacher",
    "MappedTeacher",
    "TeacherFeed",
    "limited_logits",
    "map_classifier",
    "map_logits",
    "member_weights",
    "to_student_classes",
]
