"""Distillation of the teacher's confidence and of the classes that it ranks below the label."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import Batch, Method, Need, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

_NONE = -1e9  # A logit without weight: its probability is exactly 0, and 0 times its logarithm is 0.


@method("rld", paper="Sun et al., Knowledge distillation with refined logits, ICCV 2025")
class RefinedLogits(Method):
    """Refined logits: match the teacher's confidence on the label, and the classes that it ranks below it.

    a mean_n CE(p_s, y) + w(t) mean_n (alpha A^2 KL(b_t || b_s) + beta T^2 KL(q_t || q_s)).

    b_t = (max_c p_t[c], 1 - max_c p_t[c]) and b_s = (p_s[y], 1 - p_s[y]) with p = softmax(z / A), ``[N,
    C]``: the student is to be as certain of the label as the teacher is of the class that it predicts, right
    or wrong. q is the softmax of z / T over the classes with z_t[c] < z_t[y], in both networks; where the
    label is the teacher's least likely class there are none, and the term is 0. Where two examples were
    mixed, y is the label with the larger share.

    Defaults are the authors' for CIFAR-100: alpha 1, beta 8, A 1, T 4, a 1. They raise w from 1/20 to 1 over
    the first 20 of 240 epochs; here w = min(progress / warmup, 1), as in ``dkd``.

    Paper: Sun, Chen, Lyu, Chen, Chen and Wang, "Knowledge distillation with refined logits", ICCV 2025.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            alpha: Weight of the divergence of confidences.
            beta: Weight of the divergence over the classes below the label.
            confidence_temperature: A.
            temperature: T.
            warmup: Share of the training over which w rises.
            ce_weight: a.
        """

        alpha: Weight = 1.0
        beta: Weight = 8.0
        confidence_temperature: Temperature = 1.0
        temperature: Temperature = 4.0
        warmup: Share = 20 / 240

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``confidence`` and ``below``."""
        config, label = self.config, batch.dominant[:, None]
        z_s, z_t = in_full_precision(student.logits), in_full_precision(teacher.logits.detach())
        rise = batch.warmed_up(config.warmup)
        first, second = config.confidence_temperature, config.temperature
        log_s = _certain_or_not(z_s / first, label)
        log_t = _certain_or_not(z_t / first, z_t.argmax(1, keepdim=True))
        confidence = (log_t.exp() * (log_t - log_s)).sum(1).mean()
        counted_out = z_t >= z_t.gather(1, label)
        below = kl_divergence(
            (z_s / second).masked_fill(counted_out, _NONE), (z_t / second).masked_fill(counted_out, _NONE)
        )
        return {
            "confidence": config.alpha * first**2 * rise * confidence,
            "below": config.beta * second**2 * rise * below.mean(),
        }


def _certain_or_not(z: Tensor, chosen: Tensor) -> Tensor:
    """Return (log p, log(1 - p)) of a class per row, ``[N, 2]``, by log-sum-exp: 1 - p would round to 0."""
    others = z.scatter(1, chosen, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat((z.gather(1, chosen), others), dim=1) - z.logsumexp(1, keepdim=True)
