"""Distillation with labels weighted by the teacher's probability of them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import (
    SUPERVISED,
    Batch,
    Method,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.robust.weighting import weighted_label_loss
from distillab.models.outputs import Outputs


@method("sample_weighted_kd", paper="Li et al., Learning from noisy labels with distillation, ICCV 2017")
class SampleWeighted(Method):
    """Sample-weighted distillation: weigh every label by the teacher's probability of it.

    a mean_n u_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s), p = softmax(z / T) in the second.

    u_n = least + (1 - least) p_t[y], at T = 1: the teacher's probability of the label ``[N]``,
    which is small where the label is wrong and the teacher has not memorized the mistake. Where
    two examples were mixed, each label has its own weight.

    Defaults: T 4, least 0, a 1, b 1, chosen here.

    Deviation: the paper mixes label and teacher by one constant for all examples, and corrects the teacher by
    a knowledge graph; here the teacher's own probability weighs every label.

    Paper: Li, Yang, Song, Cao, Luo and Li, "Learning from noisy labels with distillation", ICCV 2017.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    weighs_labels: ClassVar[bool] = True

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            least: Least weight of a label.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        least: Share = 0.0
        temperature: Temperature = 4.0
        kd_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ce``, which depends on the teacher, and ``kd``."""
        z_t = teacher.logits.detach()
        temperature = self.config.temperature
        divergence = kl_divergence(student.logits, z_t, temperature).mean()
        p_t = in_full_precision(z_t).softmax(1)

        def weight(labels: Tensor) -> Tensor:
            p = p_t.gather(1, labels[:, None])[:, 0]
            return torch.lerp(torch.full_like(p, self.config.least), torch.ones_like(p), p)

        losses = weighted_label_loss(student.logits, batch, weight)
        return {
            SUPERVISED: self.config.ce_weight * losses.mean(),
            "kd": self.config.kd_weight * temperature**2 * divergence,
        }
