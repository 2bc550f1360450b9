"""Transfer of the teacher's features in a compressed form."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import deepest_shapes
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs, unit_norm


@method(
    "ft",
    paper="Kim et al., Paraphrasing complex network: network compression via factor transfer, NeurIPS 2018",
)
class FactorTransfer(Method):
    """Factor transfer: match factors that an autoencoder compresses the teacher's features into.

    a mean_n CE(p_s, y) + w mean_nhw |q_s - q_t|, and before it, mean_nchw (d(e(F_t)) - F_t)^2.

    The paraphraser e and d, three convolutions each that take the teacher's last maps ``[N, C, H, W]`` to
    ``rate`` times the channels and back, is trained over the first ``paraphrase`` of the training, and then
    fixed. From then on the student's translator (three convolutions as well, with batch normalization, which
    the paraphraser has not) is to give the same factor, the larger of both average-pooled to the smaller: q
    is the mean over channels of its squares, scaled to unit length over space. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: rate 0.5, w 200, a 1, 30 of 240 epochs of
    paraphrasing, which here are a share of the training and leave the student to its labels meanwhile.

    Paper: Kim, Park and Kwak, "Paraphrasing complex network: network compression via factor transfer",
    NeurIPS 2018, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            rate: Channels of the factor per channel of the teacher.
            paraphrase: Share of the training in which the paraphraser is trained.
            ft_weight: w.
            ce_weight: a.
        """

        rate: Temperature = 0.5
        paraphrase: Share = 30 / 240
        ft_weight: Weight = 200.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (channels_s, *_), (channels_t, *_) = deepest_shapes(pair)
        factors = max(1, round(config.rate * channels_t))
        self.encoder = _convolutions(channels_t, factors, normalize=False)
        self.decoder = _convolutions(factors, channels_t, normalize=False)
        self.translator = _convolutions(channels_s, factors, normalize=True)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``paraphrase`` and ``ft``, one of which is 0.

        Raises:
            ValueError: A network gives no feature maps.
        """
        f_s, f_t = paired_maps(self, student, teacher)[-1]
        reconstruction = distance = f_s.new_zeros(())
        if batch.progress < self.config.paraphrase:
            reconstruction = (self.decoder(self.encoder(f_t)) - f_t).square().mean()
        else:
            with torch.no_grad():
                factor = self.encoder(f_t)
            distance = factor_distance(*at_one_size(self.translator(f_s), factor))
        return {"paraphrase": reconstruction, "ft": self.config.ft_weight * distance}


def factor_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean absolute difference of normalized factors: ``[N, K, H, W]`` both, a scalar."""
    q_s, q_t = (unit_norm(x.square().mean(1)) for x in (student, teacher))
    return (q_s - q_t).abs().mean()


def _convolutions(inputs: int, outputs: int, *, normalize: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((inputs, inputs), (inputs, outputs), (outputs, outputs)):
        layers.append(nn.Conv2d(before, after, 3, padding=1))
        layers += [nn.BatchNorm2d(after)] if normalize else []
        layers.append(nn.LeakyReLU(0.1))
    return nn.Sequential(*layers)
