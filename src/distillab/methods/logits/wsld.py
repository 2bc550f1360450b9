"""Weighted soft labels: listen to the teacher where the student is worse than it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision, soft_cross_entropy
from distillab.methods.method import Batch, Method, Need, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

SMALLEST = 1e-7


@method("wsld", paper="Zhou et al., Rethinking soft labels for knowledge distillation, ICLR 2021")
class WeightedSoftLabels(Method):
    """Weighted soft labels: a mean_n CE(p_s, y) + b T^2 mean_n w_n CE(p_t, p_s).

    p = softmax(z / T) in the second, and w_n = 1 - exp(-CE(p_s, y) / CE(p_t, y)), both at T = 1 and
    without gradient: an image that the student already knows better than the teacher counts little.
    Logits are ``[N, C]``.

    Defaults are the authors' for CIFAR-100: T 4, b 2.25, a 1 (T 2, b 2.5 for ImageNet).

    Paper: Zhou, Song, Chen, Zhou, Wang, Yuan and Zhang, "Rethinking soft labels for knowledge distillation: a
    bias-variance tradeoff perspective", ICLR 2021.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})

    class Config(WeightedConfig):
        """The weights b (``soft_weight``) and a (``ce_weight``), and T."""

        temperature: Temperature = 4.0
        soft_weight: Weight = 2.25

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``soft``. Raises ValueError without a teacher."""
        theirs = teacher.logits.detach()
        config, own = self.config, self.label_loss(student.logits, batch)
        soft = soft_cross_entropy(student.logits, theirs, config.temperature)
        with torch.no_grad():
            weight = 1 - (-own / (in_full_precision(self.label_loss(theirs, batch)) + SMALLEST)).exp()
        return {
            "ce": config.ce_weight * own.mean(),
            "soft": config.soft_weight * config.temperature**2 * (weight * soft).mean(),
        }
