"""Distillation from an untrained teacher, the control for regularization by soft targets."""

from __future__ import annotations

from typing import ClassVar

from distillab.methods.logits.kd import SoftTargets
from distillab.methods.method import TeacherKind, method


@method("random_teacher")
class RandomTeacher(SoftTargets):
    """Random teacher: the loss of ``kd`` with an untrained teacher.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s).

    The teacher has the architecture of the study's teacher and its initial weights. What this gains over
    ``ce`` is regularization; only what ``kd`` gains beyond it can be knowledge.

    Paper: none; a control.
    """

    teacher: ClassVar[TeacherKind] = "untrained"
