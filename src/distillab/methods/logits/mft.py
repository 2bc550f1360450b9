"""Distillation from a teacher that is corrected where it does not predict the label clearly."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

_TINY = 1e-30


@method("mft", paper="Belcak et al., Minifinetuning, 2025")
class CorrectedTeacher(Method):
    """Minifinetuning: distillation from a teacher corrected where it does not predict the label clearly.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p' || p_s), p = softmax(z / T), ``[N, C]``.

    p' is the teacher's p_t where p_t[y] stands above every other class by ``threshold`` or more. Elsewhere
    all classes but the label y are scaled down together, by s = (1 - threshold) / (1 - p_t[y] + m) with m the
    likeliest of them, and y gets the rest: then it stands above by just that. Where two examples were mixed,
    y is the label with the larger share.

    Defaults: threshold 0.2 and T 1 as in NVIDIA's ModelOpt, which means it for little data; a 0.1, b 0.9 as
    in ``kd``.

    The paper adapts language models, with their own earlier states as teachers, and has no other term.

    Paper: Belcak, Heinrich, Kautz and Molchanov, "Minifinetuning: low-data generation domain adaptation
    through corrective self-distillation", 2025.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            threshold: Least distance of the label's probability from all others.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        threshold: Share = 0.2
        temperature: Temperature = 1.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        p_t = (in_full_precision(teacher.logits.detach()) / temperature).softmax(1)
        target = corrected(p_t, batch.dominant, self.config.threshold)
        log_p_s = (in_full_precision(student.logits) / temperature).log_softmax(1)
        divergence = (target * (target.clamp(min=_TINY).log() - log_p_s)).sum(1).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}


def corrected(probabilities: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Return probabilities ``[N, C]`` with every label, int64 ``[N]``, above all others by ``threshold``.

    Those where it is so already, and those of an example without a label, are returned as they are.
    """
    label = labels.clamp(min=0)[:, None]
    target = probabilities.gather(1, label)
    others = probabilities.scatter(1, label, 0.0)
    likeliest = others.amax(1, keepdim=True)
    scale = (1 - threshold) / (1 - target + likeliest).clamp(min=_TINY)
    changed = (others * scale).scatter(1, label, 1 - scale * (1 - target))
    right = (target - likeliest >= threshold) | (labels == UNLABELLED)[:, None]
    return torch.where(right, probabilities, changed)
