"""Label smoothing: how much of a gain needs a teacher at all."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.method import Batch, Method, Share, TeacherKind, method
from distillab.models.outputs import Outputs


@method("label_smoothing", paper="Szegedy et al., Rethinking the Inception architecture, CVPR 2016")
class LabelSmoothing(Method):
    """Cross-entropy with smoothed labels, no teacher: mean_n -(1 - e) log p_s[y] - (e / C) sum_c log p_s[c].

    It is distillation from a teacher that knows only the label (Yuan et al., "Revisiting knowledge
    distillation via label smoothing regularization", CVPR 2020): the control for mere regularisation.

    Paper: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7.
    """

    teacher: ClassVar[TeacherKind] = "none"

    class Config(Method.Config):
        """``smoothing`` is e, the share of a label that is spread evenly over all classes."""

        smoothing: Share = 0.1

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return no term: all that counts is the labels."""
        return {}

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on smoothed labels."""
        return self.label_loss(student.logits, batch, self.config.smoothing).mean()
