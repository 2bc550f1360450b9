"""Factor transfer: the teacher's features in a paraphrase, which the student learns to translate."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes
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
from distillab.methods.outputs import at_one_size, maps
from distillab.models.outputs import Outputs, unit_norm


@method(
    "ft",
    paper="Kim et al., Paraphrasing complex network: network compression via factor transfer, NeurIPS 2018",
)
class FactorTransfer(Method):
    """Factor transfer: the teacher's features in a paraphrase, which the student learns to translate.

    a mean_n CE(p_s, y) + w mean_nhw |q_s - q_t|, and before it, mean_nchw (d(e(F_t)) - F_t)^2.

    The paraphraser e and d, convolutions that make ``rate`` times the channels out of the teacher's last maps
    ``[N, C, H, W]`` and back, is trained over the first ``paraphrase`` of the training, and then fixed. From
    then on the student's translator (the same three convolutions) is to give the same factor: q is the mean
    over channels of its squares, scaled to unit length over space. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: rate 0.5, w 200, a 1, 30 of 240 epochs of
    paraphrasing, which here are a share of the training and leave the student to its labels meanwhile.

    Paper: Kim, Park and Kwak, "Paraphrasing complex network: network compression via factor transfer",
    NeurIPS 2018, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The rate, the share of training to paraphrase, and the weights w (``ft_weight``) and a."""

        rate: Temperature = 0.5
        paraphrase: Share = 30 / 240
        ft_weight: Weight = 200.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (ours, theirs) = (paired_shapes(pair) or [(pair.student.maps[-1],) * 2])[-1]
        factors = max(1, round(config.rate * theirs[0]))
        self.encoder, self.decoder = _convolutions(theirs[0], factors), _convolutions(factors, theirs[0])
        self.translator = _convolutions(ours[0], factors)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce``, ``paraphrase`` and ``ft``. Raises ValueError without a teacher or maps."""
        ours, theirs = at_one_size(*maps(self, student, teacher)[-1])
        nothing = ours.new_zeros(())
        paraphrase = apart = nothing
        if batch.progress < self.config.paraphrase:
            paraphrase = (self.decoder(self.encoder(theirs)) - theirs).square().mean()
        else:
            with torch.no_grad():
                factor = self.encoder.eval()(theirs)
            apart = factors_apart(self.translator(ours), factor)
        return {
            "paraphrase": paraphrase,
            "ft": self.config.ft_weight * apart,
        }


def factors_apart(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference of normalised factors: ``[N, K, H, W]`` both, a scalar."""
    ours, theirs = (unit_norm(x.square().mean(1)) for x in (student, teacher))
    return (ours - theirs).abs().mean()


def _convolutions(inputs: int, outputs: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((inputs, inputs), (inputs, outputs), (outputs, outputs)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)
