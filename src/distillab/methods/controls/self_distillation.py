"""Distillation from a trained copy of the student, the control for the size of the teacher."""

from __future__ import annotations

from typing import ClassVar

from distillab.methods.logits.kd import SoftTargets
from distillab.methods.method import TeacherKind, method


@method("self", paper="Furlanello et al., Born-again neural networks, ICML 2018")
class SelfDistillation(SoftTargets):
    """Self-distillation: the loss of ``kd`` with a plain student as the teacher.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s).

    The teacher is a plainly trained network of the student's architecture, one generation. What ``kd`` gains
    beyond this is the worth of a larger teacher.

    Deviation: the paper adds its terms at T = 1 without weights. The defaults here are those of ``kd``, so
    that the two differ in the teacher alone; ``{temperature: 1, ce_weight: 1, kd_weight: 1}`` is the paper's.

    Paper: Furlanello, Lipton, Tschannen, Itti and Anandkumar, "Born-again neural networks", ICML 2018.
    """

    teacher: ClassVar[TeacherKind] = "self"
