"""Variational information distillation: keep what the student's features say about the teacher's."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes
from distillab.methods.method import Batch, Method, Need, Pair, Temperature, Weight, WeightedConfig, method
from distillab.methods.outputs import at_one_size, maps
from distillab.models.outputs import Outputs

SMALLEST = 1e-5


@method("vid", paper="Ahn et al., Variational information distillation for knowledge transfer, CVPR 2019")
class VariationalInformation(Method):
    """Variational information distillation: keep what the student's features say about the teacher's.

    a mean_n CE(p_s, y) + w sum_stages mean_nchw 0.5 ((m(F_s) - F_t)^2 / v_c + log v_c).

    The negative log-likelihood, up to a constant, of the teacher's maps ``[N, C, H, W]`` under a normal
    distribution: its mean m is three 1x1 convolutions of the student's maps with ReLUs between, its variance
    v_c = softplus(alpha_c) + 1e-5 is trained for every channel of the teacher. It may be negative. The larger
    map is average-pooled to the smaller one. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: w 1, a 1, first variance 5, all stages.

    Paper: Ahn, Hu, Damianou, Lawrence and Dai, "Variational information distillation for knowledge transfer",
    CVPR 2019, equation 5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The first variance, and the weights w (``vid_weight``) and a (``ce_weight``)."""

        first_variance: Temperature = 5.0
        vid_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        # Softplus, turned round, of the first variance.
        start = math.log(math.expm1(max(config.first_variance - SMALLEST, SMALLEST)))
        self.means = nn.ModuleList(_regressor(ours[0], theirs[0]) for ours, theirs in shapes)
        self.alphas = nn.ParameterList(torch.full((theirs[0],), start) for _, theirs in shapes)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``vid``. Raises ValueError without a teacher or maps."""
        pairs = [at_one_size(*pair) for pair in maps(self, student, teacher)]
        unlikely = [
            _unlikeliness(mean(ours), theirs, alpha)
            for mean, alpha, (ours, theirs) in zip(self.means, self.alphas, pairs, strict=True)
        ]
        return {
            "vid": self.config.vid_weight * torch.stack(unlikely).sum(),
        }


def _unlikeliness(mean: Tensor, teacher: Tensor, alpha: Tensor) -> Tensor:
    variance = (F.softplus(alpha) + SMALLEST)[:, None, None]
    return (0.5 * ((mean - teacher).square() / variance + variance.log())).mean()


def _regressor(inputs: int, outputs: int) -> nn.Module:
    layers = [nn.Conv2d(inputs, outputs, 1, bias=False), nn.ReLU()]
    layers += [nn.Conv2d(outputs, outputs, 1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(outputs, outputs, 1, bias=False))
