"""Distillation weighted by how far the student is behind the teacher."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision, soft_cross_entropy
from distillab.methods.method import (
    SUPERVISED,
    Batch,
    Method,
    Need,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.models.outputs import Outputs

_EPSILON = 1e-7


@method("wsld", paper="Zhou et al., Rethinking soft labels for knowledge distillation, ICLR 2021")
class WeightedSoftLabels(Method):
    """Weighted soft labels: learn from the teacher where the student is worse than it.

    a mean_n CE(p_s, y) + b T^2 mean_n w_n CE(p_t, p_s).

    p = softmax(z / T) in the second, and w_n = 1 - exp(-CE(p_s, y) / CE(p_t, y)), both at T = 1 and
    without gradient: an example that the student already knows better than the teacher counts little.
    Logits are ``[N, C]``.

    Defaults are the authors' for CIFAR-100: T 4, b 2.25, a 1 (T 2, b 2.5 for ImageNet).

    Paper: Zhou, Song, Chen, Zhou, Wang, Yuan and Zhang, "Rethinking soft labels for knowledge distillation: a
    bias-variance tradeoff perspective", ICLR 2021.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            soft_weight: b.
            ce_weight: a.
        """

        temperature: Temperature = 4.0
        soft_weight: Weight = 2.25

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ce`` and ``soft``, whose weights are made of the first."""
        z_t = teacher.logits.detach()
        config, losses = self.config, self.label_loss(student.logits, batch)
        soft = soft_cross_entropy(student.logits, z_t, config.temperature)
        with torch.no_grad():
            weights = 1 - (-losses / (in_full_precision(self.label_loss(z_t, batch)) + _EPSILON)).exp()
        return {
            SUPERVISED: config.ce_weight * losses.mean(),
            "soft": config.soft_weight * config.temperature**2 * (weights * soft).mean(),
        }
