"""Sample-weighted distillation: the less the teacher believes a label, the less the label counts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import Batch, Method, Share, Temperature, Weight, WeightedConfig, method
from distillab.methods.robust.weighting import weighted_label_loss
from distillab.models.outputs import Outputs


@method("sample_weighted_kd", paper="Li et al., Learning from noisy labels with distillation, ICCV 2017")
class SampleWeighted(Method):
    """Sample-weighted distillation: the less the teacher believes a label, the less the label counts.

    a mean_n u_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s), p = softmax(z / T) in the second.

    u_n = least + (1 - least) p_t[y], at T = 1: the chance that the teacher gives to the label ``[N]``,
    which is small where the label is wrong and the teacher has not learned the mistake by heart. Where
    two images were mixed, each label has its own weight.

    Defaults: T 4, least 0, a 1, b 1, our own.

    Deviation: the paper mixes label and teacher by one constant for all images, and corrects the teacher by a
    knowledge graph; here the teacher's own belief weighs every label.

    Paper: Li, Yang, Song, Cao, Luo and Li, "Learning from noisy labels with distillation", ICCV 2017.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    weighs_labels: ClassVar[bool] = True

    class Config(WeightedConfig):
        """The least weight of a label, T, and the weights b (``kd_weight``) and a (``ce_weight``)."""

        least: Share = 0.0
        temperature: Temperature = 4.0
        kd_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``kd``. Raises ValueError without a teacher."""
        theirs = teacher.logits.detach()
        temperature = self.config.temperature
        divergence = kl_divergence(student.logits, theirs, temperature).mean()
        probabilities = in_full_precision(theirs).softmax(1)

        def belief(labels: Tensor) -> Tensor:
            said = probabilities.gather(1, labels[:, None])[:, 0]
            return torch.lerp(torch.full_like(said, self.config.least), torch.ones_like(said), said)

        believed = weighted_label_loss(student.logits, batch, belief)
        return {
            "ce": self.config.ce_weight * believed.mean(),
            "kd": self.config.kd_weight * temperature**2 * divergence,
        }
