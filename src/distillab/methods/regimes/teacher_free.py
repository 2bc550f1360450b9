"""Distillation from a virtual teacher that is always right and always equally soft."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Share,
    TeacherKind,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.models.outputs import Outputs


@method(
    "teacher_free",
    paper="Yuan et al., Revisiting knowledge distillation via label smoothing regularization, CVPR 2020",
)
class TeacherFree(Method):
    """Teacher-free distillation: match a virtual teacher that is always right and equally soft.

    a mean_n CE(p_s, y) + b mean_n KL(softmax(log u / T) || p_s).

    u ``[N, C]`` is the virtual teacher: ``sure`` for the label y, the rest evenly spread, softened by T; the
    student's softmax p_s is not softened, as in the authors' program. Where two examples were mixed, y is the
    label with the larger share.

    Defaults are the authors' for resnet18 on CIFAR-100: sure 0.99, T 20, b 0.1 (their alpha), a 0.9.

    Deviation: the authors soften the probabilities u themselves, softmax(u / T), which at T 20 leaves next to
    nothing of them; with log u, T means the same as in ``kd``.

    Paper: Yuan, Tay, Li, Wang and Feng, "Revisiting knowledge distillation via label smoothing
    regularization", CVPR 2020, equation 11.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})
    teacher: ClassVar[TeacherKind] = "none"
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            sure: The virtual teacher's probability of the label.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        sure: Share = 0.99
        temperature: Temperature = 20.0
        kd_weight: Weight = 0.1
        ce_weight: Weight = 0.9

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        config = self.config
        log_p = in_full_precision(student.logits).log_softmax(1)
        spread = (1 - config.sure) / max(log_p.shape[1] - 1, 1)
        virtual = torch.full_like(log_p, spread).scatter(1, batch.dominant[:, None], config.sure)
        target = (virtual.clamp(min=1e-12).log() / config.temperature).log_softmax(1)
        divergence = (target.exp() * (target - log_p)).sum(1).mean()
        return {"kd": config.kd_weight * divergence}
