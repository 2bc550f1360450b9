"""Plain training of a student with exits, the baseline for methods whose exits stay."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.kept_exits import ExitsConfig, KeptExits
from distillab.methods.method import Batch, TeacherKind, Weight, method
from distillab.models.outputs import Outputs


@method("exits", paper="Lee et al., Deeply-supervised nets, AISTATS 2015")
class PlainExits(KeptExits):
    """Plain exits: the supervised loss at every stage of the student, whose exits stay in it.

    a mean_n CE(p_s, y) + w sum_k mean_n CE(p_k, y).

    k goes over the student's stages but the last; an exit there is average pooling to the size of the last
    stage, a trained 1x1 convolution with batch normalization to its channels, a ReLU, the mean over space and
    a linear layer. The exits are evaluated and saved with the student. The logits of the student are those of
    its last exit, p_s, or with ``vote`` the mean over all exits. It is the control for ``tskd``: what the
    exits alone are worth, and their vote.

    Defaults a = w = 1.

    Deviation: the paper's weights of the shallow terms decay, and its exits are dropped after training.

    Paper: Lee, Xie, Gallagher, Zhang and Tu, "Deeply-supervised nets", AISTATS 2015.
    """

    teacher: ClassVar[TeacherKind] = "none"

    class Config(ExitsConfig):
        """Hyper-parameters.

        Attributes:
            exit_weight: w.
            ce_weight: a.
        """

        exit_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``exits``."""
        _, logits = self.exit_outputs(student)
        return {"exits": self.config.exit_weight * self.label_losses(logits, batch)}
