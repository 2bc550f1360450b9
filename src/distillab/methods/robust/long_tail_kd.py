"""Distillation balanced over frequent, middle and rare classes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Pair, Temperature, Weight, WeightedConfig, method
from distillab.methods.robust.weighting import examples_per_class
from distillab.models.outputs import Outputs

_PARTS = 3


@method("long_tail_kd", paper="Kim, Distilling balanced knowledge from a biased teacher, CVPR 2026")
class LongTailDistillation(Method):
    """Long-tail distillation: match frequent, middle and rare classes with equal weight.

    a mean_n CE(p_s, y) + T^2 mean_n (u KL(P' || P_s) + v sum_g KL(q_t^g || q_s^g) / 3).

    Classes are divided by their number of training examples into head, middle and tail, a third of the
    classes each. P ``[N, 3]`` is what a network gives to each part, q^g the distribution within part g, from
    p = softmax(z / T), ``[N, C]``. P' is the teacher's P_t over its mean in the batch, scaled to sum to one:
    a teacher that favors the head gives every part the same mass on average. The three distributions within
    count alike, where in KL(p_t || p_s) = KL(P_t || P_s) + sum_g P_t[g] KL(q_t^g || q_s^g) that of the tail
    hardly counts.

    Defaults: T 4, u 1, v 1, a 1, chosen here. With fewer than three classes every class is a part.

    Deviation: the idea is the paper's (rebalance across groups, weigh alike within); the formulas here are
    our own.

    Paper: Kim, "Distilling balanced knowledge from a biased teacher", CVPR 2026.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            across_weight: u.
            within_weight: v.
            ce_weight: a.
        """

        temperature: Temperature = 4.0
        across_weight: Weight = 1.0
        within_weight: Weight = 1.0

    members: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        order = examples_per_class(pair.labels, pair.student.classes).argsort(descending=True, stable=True)
        part = torch.empty(len(order), dtype=torch.long)
        parts = min(_PARTS, len(order))
        part[order] = torch.arange(len(order)) * parts // len(order)
        members = torch.nn.functional.one_hot(part, parts).bool()
        self.register_buffer("members", members, persistent=False)  # [classes, parts]

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``across`` and ``within``."""
        config = self.config
        q_s, mass_s = self._split(in_full_precision(student.logits) / config.temperature)
        q_t, mass_t = self._split(in_full_precision(teacher.logits.detach()) / config.temperature)
        balanced = (mass_t - mass_t.logsumexp(0)).log_softmax(1)
        across = (balanced.exp() * (balanced - mass_s)).sum(1).mean()
        within = (q_t.exp() * (q_t - q_s)).sum(1).mean() / mass_t.shape[1]
        scale = config.temperature**2
        return {
            "across": config.across_weight * scale * across,
            "within": config.within_weight * scale * within,
        }

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities within a class's part ``[N, C]``, and of the parts ``[N, parts]``."""
        members = self.members
        log_p = logits.log_softmax(1)
        masses = log_p[:, :, None].masked_fill(~members, float("-inf")).logsumexp(1)
        return log_p - masses[:, members.int().argmax(1)], masses
