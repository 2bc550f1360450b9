"""Distillation of the label's probability and of the normalized rest."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillab.methods.divergence import in_full_precision, other_logits
from distillab.methods.method import Batch, Method, Need, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method("nkd", paper="Yang et al., From knowledge distillation to self-knowledge distillation, ICCV 2023")
class NormalizedDistillation(Method):
    """Normalized distillation: match the label's probability, and the distribution of the other classes.

    a CE(p_s, y) - p_t[y] log p_s[y] - g T^2 sum_c!=y q_t[c] log q_s[c], mean_n.

    p is the softmax of all logits ``[N, C]``, q that of the logits over T of the classes other than the label
    y, so that in both networks it sums to one. Where two examples were mixed, y is the label with the larger
    share.

    Defaults are the authors' for CIFAR-100: T 3, g 3.5, a 1 (T 1, g 1.5 for ImageNet).

    Paper: Yang, Zeng, Li, Zhang, Yuan and Li, "From knowledge distillation to self-knowledge distillation: a
    unified approach with normalized loss and customized soft labels", ICCV 2023.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            target_weight: Weight of the label's part.
            others_weight: g.
            ce_weight: a.
        """

        temperature: Temperature = 3.0
        target_weight: Weight = 1.0
        others_weight: Weight = 3.5

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``target`` and ``others``."""
        z_s, z_t = in_full_precision(student.logits), in_full_precision(teacher.logits.detach())
        config, label = self.config, batch.dominant[:, None]
        target = -(z_t.softmax(1).gather(1, label) * z_s.log_softmax(1).gather(1, label)).mean()
        temperature = config.temperature
        q_t = F.softmax(other_logits(z_t, batch.dominant) / temperature, dim=1)
        log_q_s = F.log_softmax(other_logits(z_s, batch.dominant) / temperature, dim=1)
        return {
            "target": config.target_weight * target,
            "others": -config.others_weight * temperature**2 * (q_t * log_q_s).sum(1).mean(),
        }
