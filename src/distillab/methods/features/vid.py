"""Transfer of the mutual information of student's and teacher's feature maps."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes
from distillab.methods.method import Batch, Method, Need, Pair, Temperature, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs

LEAST_VARIANCE = 1e-5


@method("vid", paper="Ahn et al., Variational information distillation for knowledge transfer, CVPR 2019")
class VariationalInformation(Method):
    """Variational information distillation: predict the teacher's feature maps from the student's.

    a mean_n CE(p_s, y) + w sum_stages mean_nchw 0.5 ((m(F_s) - F_t)^2 / v_c + log v_c).

    The negative log-likelihood, up to a constant, of the teacher's maps ``[N, C, H, W]`` under a normal
    distribution: its mean m is three 1x1 convolutions of the student's maps with ReLUs between, its variance
    v_c = softplus(alpha_c) + 1e-5 is trained for every channel of the teacher. It may be negative. The larger
    map is average-pooled to the smaller one. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: w 1, a 1, initial variance 5, all stages.

    Paper: Ahn, Hu, Damianou, Lawrence and Dai, "Variational information distillation for knowledge transfer",
    CVPR 2019, equation 5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            first_variance: Initial v_c.
            vid_weight: w.
            ce_weight: a.
        """

        first_variance: Temperature = 5.0
        vid_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        # The inverse of softplus at the initial variance.
        start = math.log(math.expm1(max(config.first_variance - LEAST_VARIANCE, LEAST_VARIANCE)))
        self.means = nn.ModuleList(_regressor(shape_s[0], shape_t[0]) for shape_s, shape_t in shapes)
        self.alphas = nn.ParameterList(torch.full((shape_t[0],), start) for _, shape_t in shapes)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``vid``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        pairs = [at_one_size(*pair) for pair in paired_maps(self, student, teacher)]
        losses = [
            _negative_log_likelihood(mean(f_s), f_t, alpha)
            for mean, alpha, (f_s, f_t) in zip(self.means, self.alphas, pairs, strict=True)
        ]
        return {"vid": self.config.vid_weight * torch.stack(losses).sum()}


def _negative_log_likelihood(mean: Tensor, teacher: Tensor, alpha: Tensor) -> Tensor:
    variance = (F.softplus(alpha) + LEAST_VARIANCE)[:, None, None]
    return (0.5 * ((mean - teacher).square() / variance + variance.log())).mean()


def _regressor(inputs: int, outputs: int) -> nn.Module:
    layers = [nn.Conv2d(inputs, outputs, 1, bias=False), nn.ReLU()]
    layers += [nn.Conv2d(outputs, outputs, 1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(outputs, outputs, 1, bias=False))
