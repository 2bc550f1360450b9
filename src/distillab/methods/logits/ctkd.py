"""Distillation at a temperature that is learned against the student."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Pair, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method("ctkd", paper="Li et al., Curriculum temperature for knowledge distillation, AAAI 2023")
class CurriculumTemperature(Method):
    """Curriculum temperature: distillation at a temperature that is learned to make the loss larger.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s), T = t0 + t1 sigmoid(theta).

    p = softmax(z / T), ``[N, C]``. theta is one number that is trained with the student, but to make the loss
    larger: its gradient is multiplied by lambda, which goes from 0 to -1 as half a cosine over the first
    ``ramp`` of the training.

    Defaults are the authors': t0 1, t1 20, theta initially 1, a 0.1, b 0.9, and 10 of 240 epochs for the
    ramp, which here is a share of the training.

    Paper: Li, Li, Yang, Zhao, Song, Luo, Li and Yang, "Curriculum temperature for knowledge distillation",
    AAAI 2023.
    """

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            lowest: t0.
            span: t1.
            ramp: Share of the training over which lambda falls.
            kd_weight: b.
            ce_weight: a.
        """

        lowest: Temperature = 1.0
        span: Temperature = 20.0
        ramp: Share = 10 / 240
        ce_weight: Weight = 0.1
        kd_weight: Weight = 0.9

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.theta = nn.Parameter(torch.ones(()))

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        theta = _Scaled.apply(self.theta, self.reversal(batch.progress))
        temperature = self.config.lowest + self.config.span * torch.sigmoid(theta)
        divergence = self.task.divergence(student.logits, teacher.logits, temperature).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}

    def reversal(self, progress: float) -> float:
        """Return the factor lambda in [-1, 0] when a share ``progress`` of the training is done."""
        share = min(progress / self.config.ramp, 1.0) if self.config.ramp > 0 else 1.0
        return -0.5 * (1 - math.cos(math.pi * share))


class _Scaled(torch.autograd.Function):
    """The identity, with its gradient multiplied by a factor."""

    @staticmethod
    def forward(context: Any, value: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.factor * gradient, None
