"""Label smoothing, the control for regularization without a teacher."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.method import Batch, Method, Share, TeacherKind, method
from distillab.methods.needs import OF_WHOLE_EXAMPLES
from distillab.models.outputs import Outputs


@method("label_smoothing", paper="Szegedy et al., Rethinking the Inception architecture, CVPR 2016")
class LabelSmoothing(Method):
    """Label smoothing: the supervised loss on smoothed labels, without a teacher.

    mean_n -(1 - e) log p_s[y] - (e / C) sum_c log p_s[c].

    It equals distillation from a teacher that knows only the label (Yuan et al., "Revisiting knowledge
    distillation via label smoothing regularization", CVPR 2020): the control for mere regularization.

    Paper: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7.
    """

    teacher: ClassVar[TeacherKind] = "none"
    tasks: ClassVar[frozenset[str] | None] = OF_WHOLE_EXAMPLES

    class Config(Method.Config):
        """Hyper-parameters.

        Attributes:
            smoothing: e, the share of a label that is spread evenly over all classes.
        """

        smoothing: Share = 0.1

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return no term: the base class adds the supervised loss."""
        return {}

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on smoothed labels."""
        return self.label_loss(student.logits, batch, self.config.smoothing).mean()
