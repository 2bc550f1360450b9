"""Distillation from a teacher that knows nothing."""

from __future__ import annotations

from typing import ClassVar

from distillab.methods.logits.kd import SoftTargets
from distillab.methods.method import TeacherKind, method


@method("random_teacher")
class RandomTeacher(SoftTargets):
    """The loss of ``kd``, a mean_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s), with an untrained teacher.

    The teacher has the architecture of the study's and its initial weights. What this gains over ``ce`` is
    regularisation; only what ``kd`` gains beyond it can be knowledge.

    Paper: none; a control.
    """

    teacher: ClassVar[TeacherKind] = "untrained"
