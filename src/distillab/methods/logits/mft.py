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

    p' is the teacher's p_t with all classes but the label y scaled down together by s, and y given the rest.
    Where the likeliest class is another, s = (1 - threshold) / (1 - p_t[y] + p_t[likeliest]): then y stands
    above it by the threshold. Where it is y, p'[y] = min(1, p_t[y] + threshold); without ``correct_all``, p'
    = p_t there. Where two examples were mixed, y is the label with the larger share.

    Defaults: threshold 0.2, ``correct_all`` and T 1 as in NVIDIA's ModelOpt, which means it for little data;
    a 0.1, b 0.9 as in ``kd``.

    The paper adapts language models, with their own earlier states as teachers, and has no other term.

    Paper: Belcak, Heinrich, Kautz and Molchanov, "Minifinetuning: low-data generation domain adaptation
    through corrective self-distillation", 2025.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            threshold: Distance of the label's probability from the likeliest class where that is another,
                and how much it is raised where it is the label.
            correct_all: Whether the label's probability is raised where it is the likeliest already.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        threshold: Share = 0.2
        correct_all: bool = True
        temperature: Temperature = 1.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        p_t = (in_full_precision(teacher.logits.detach()) / temperature).softmax(1)
        target = corrected(p_t, batch.dominant, self.config.threshold, correct_all=self.config.correct_all)
        log_p_s = (in_full_precision(student.logits) / temperature).log_softmax(1)
        divergence = (target * (target.clamp(min=_TINY).log() - log_p_s)).sum(1).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}


def corrected(probabilities: Tensor, labels: Tensor, threshold: float, *, correct_all: bool = True) -> Tensor:
    """Return probabilities ``[N, C]`` that predict the labels, int64 ``[N]``.

    Args:
        probabilities: float ``[N, C]``, rows sum to 1. Those of examples without a label (-1) are returned as
            they are.
        labels: int64 ``[N]``.
        threshold: How far a label stands above the likeliest class where that is another one, and how much
            its probability rises, up to 1, where it is the likeliest.
        correct_all: Whether those of labels that are the likeliest are raised; otherwise they are returned as
            they are.
    """
    label = labels.clamp(min=0)[:, None]
    target = probabilities.gather(1, label)
    likeliest, predicted = probabilities.max(1, keepdim=True)
    wrong = (1 - threshold) / (1 - target + likeliest)
    right = (1 - target - threshold).clamp(min=0) / (1 - target).clamp(min=_TINY)
    scale = torch.where(predicted == label, right, wrong)
    changed = (probabilities * scale).scatter(1, label, 1 - scale * (1 - target))
    kept = (labels == UNLABELLED)[:, None]
    if not correct_all:
        kept = kept | (predicted == label)
    return torch.where(kept, probabilities, changed)
