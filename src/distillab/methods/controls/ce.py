"""Plain training: the twin that every distilled student is compared with."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.method import Batch, Method, TeacherKind, method
from distillab.models.outputs import Outputs


@method("ce")
class CrossEntropy(Method):
    """Cross-entropy with the labels, no teacher: mean_n -log p_s[y].

    Paper: none; the control that every gain is measured against.
    """

    teacher: ClassVar[TeacherKind] = "none"

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return no term: all that counts is the labels."""
        return {}
