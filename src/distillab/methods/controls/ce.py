"""Plain training, the baseline of every gain."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.method import Batch, Method, TeacherKind, method
from distillab.models.outputs import Outputs


@method("ce")
class PlainTraining(Method):
    """Plain training: the supervised loss alone, the baseline of every gain.

    mean_n CE(p_s, y).

    Paper: none; a control.
    """

    teacher: ClassVar[TeacherKind] = "none"

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return no term: the base class adds the supervised loss."""
        return {}
