"""Mutual learning of two students."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.method import (
    SUPERVISED,
    Batch,
    Method,
    Need,
    Pair,
    TeacherKind,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.models.dry_run import logits_of
from distillab.models.outputs import Outputs


@method("mutual_learning", paper="Zhang et al., Deep mutual learning, CVPR 2018")
class MutualLearning(Method):
    """Mutual learning: two students match each other's outputs, without a teacher.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_o || p_s), and the same for the other one, p_o.

    The other student has the same architecture and other initial weights, receives the same views, and learns
    along: both take part in every step, neither sends a gradient into the other, p = softmax(z / T) ``[N,
    C]``. Only the first is evaluated and kept; a step costs twice that of the plain student.

    Defaults are the authors': T 1, a 1, b 1, two students.

    Paper: Zhang, Xiang, Hospedales and Lu, "Deep mutual learning", CVPR 2018, equations 5 and 6.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "inputs"})
    teacher: ClassVar[TeacherKind] = "none"
    learns_unlabelled: ClassVar[bool | None] = True
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        temperature: Temperature = 1.0
        kd_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        # While a study is planned only shapes are known, and nothing will be learned.
        self.other = nn.Identity() if pair.new_student is None else pair.new_student(1)
        self.other.train()

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ce``, ``kd`` and those of the other student.

        Raises:
            ValueError: The batch has no inputs.
        """
        if batch.inputs is None:
            raise ValueError(f"method {self.name} needs the inputs of the batch")
        config = self.config
        with batch.autocast():
            other = logits_of(self.other(batch.inputs))
        if other.shape != student.logits.shape:
            raise RequestError(f"method {self.name} needs two students of the same classes")
        scale = config.kd_weight * config.temperature**2
        return {
            SUPERVISED: config.ce_weight * self.label_loss(student.logits, batch).mean(),
            "kd": scale * self.task.divergence(student.logits, other, config.temperature).mean(),
            "other_ce": config.ce_weight * self.label_loss(other, batch).mean(),
            "other_kd": scale * self.task.divergence(other, student.logits, config.temperature).mean(),
        }
