"""One for all: exits at every stage learn from the teacher's logits, whatever the architectures are."""

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
    """One for all: a mean_n CE(p_s, y) + w L(p_s) + v sum_k L(p_k).

    L(p) = -mean_n sum_c ((p_t + y)^e - y) log p, with p = softmax(z / T), ``[N, C]``; y is one at the
    label and zero elsewhere, so that e > 1 sharpens what the teacher says of the label. p_k comes from an
    exit at a stage of the student: its feature maps averaged over space, and a linear layer. The teacher
    gives logits alone, so any architecture serves. Where two images were mixed, the label is the one with
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
        """The exponent e, T, and the weights w (``ofa_weight``), v (``stage_weight``), a (``ce_weight``)."""

        exponent: Annotated[float, Field(ge=1, le=10, strict=True)] = 1.0
        temperature: Temperature = 1.0
        ofa_weight: Weight = 1.0
        stage_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.exits = nn.ModuleList(nn.Linear(shape[0], pair.student.classes) for shape in pair.student.maps)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce``, ``ofa`` and ``stages``. Raises ValueError without a teacher or maps."""
        theirs = in_full_precision(teacher.logits.detach())
        if not student.maps:
            raise ValueError(f"method {self.name} needs the feature maps of the student")
        config = self.config
        pooled = [in_full_precision(each).mean((2, 3)) for each in student.maps]
        exits = [exit(each) for exit, each in zip(self.exits, pooled, strict=True)]
        apart = [self.apart(logits, theirs, batch.dominant) for logits in (student.logits, *exits)]
        return {
            "ofa": config.ofa_weight * apart[0],
            "stages": config.stage_weight * torch.stack(apart[1:]).sum(),
        }

    def apart(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """L for logits ``[N, C]`` of both, labels int64 ``[N]``; a scalar. Where a label is
        missing (-1), y is 0."""
        ours = F.log_softmax(in_full_precision(student) / self.config.temperature, dim=1)
        theirs = (teacher / self.config.temperature).softmax(1)
        known = (labels != UNLABELLED)[:, None]
        label = (F.one_hot(labels.clamp(min=0), theirs.shape[1]) * known).to(theirs)
        apart = -(((theirs + label) ** self.config.exponent - label) * ours).sum(1)
        mean: Tensor = apart.mean()
        return mean
