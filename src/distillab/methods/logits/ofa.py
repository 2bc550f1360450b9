"""Distillation of logits into exits at every stage, between any architectures."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.data.targets import UNLABELLED
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method(
    "ofa", paper="Hao et al., One-for-all: bridge the gap between heterogeneous architectures, NeurIPS 2023"
)
class OneForAll(Method):
    """One for all: exits at every stage of the student learn from the teacher's logits.

    a mean_n CE(p_s, y) + w L(p_s) + v sum_k L(p_k).

    L(p) = -mean_n sum_c ((p_t + y)^e - y) log p, with p = softmax(z / T), ``[N, C]``; y is one at the
    label and zero elsewhere, so that e > 1 sharpens the teacher's probability of the label. p_k comes from an
    exit at a stage of the student: its feature maps averaged over space, and a linear layer. The teacher
    gives logits alone, so any architecture serves. Where two examples were mixed, the label is the one with
    the larger share.

    Defaults: e 1 and T 1 as the authors' for CIFAR-100 (e 1.5 for ImageNet), w, v and a 1.

    Deviation: the exits of the paper hold some convolutions, or attention, before they pool.

    Paper: Hao, Guo, Han, Tang, Hu, Wang and Xu, "One-for-all: bridge the gap between heterogeneous
    architectures in knowledge distillation", NeurIPS 2023, equation 5.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "maps"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            exponent: e.
            temperature: T.
            ofa_weight: w.
            stage_weight: v.
            ce_weight: a.
        """

        exponent: Annotated[float, Field(ge=1, le=10, strict=True)] = 1.0
        temperature: Temperature = 1.0
        ofa_weight: Weight = 1.0
        stage_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.exits = nn.ModuleList(nn.Linear(shape[0], pair.student.classes) for shape in pair.student.maps)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ofa`` and ``stages``.

        Raises:
            ValueError: The student gives no feature maps.
        """
        if not student.maps:
            raise ValueError(f"method {self.name} needs the feature maps of the student")
        z_t = in_full_precision(teacher.logits.detach())
        pooled = [in_full_precision(each).mean((2, 3)) for each in student.maps]
        exits = [exit(each) for exit, each in zip(self.exits, pooled, strict=True)]
        losses = [self.adaptive_loss(z, z_t, batch.dominant) for z in (student.logits, *exits)]
        return {
            "ofa": self.config.ofa_weight * losses[0],
            "stages": self.config.stage_weight * torch.stack(losses[1:]).sum(),
        }

    def adaptive_loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return L for logits ``[N, C]`` of both, as a scalar.

        Args:
            student: Logits, float ``[N, C]``.
            teacher: Logits, float ``[N, C]``.
            labels: int64 ``[N]``. Where a label is missing (-1), y is 0.
        """
        log_p = F.log_softmax(in_full_precision(student) / self.config.temperature, dim=1)
        p_t = (teacher / self.config.temperature).softmax(1)
        known = (labels != UNLABELLED)[:, None]
        label = (F.one_hot(labels.clamp(min=0), p_t.shape[1]) * known).to(p_t)
        losses = -(((p_t + label) ** self.config.exponent - label) * log_p).sum(1)
        mean: Tensor = losses.mean()
        return mean
