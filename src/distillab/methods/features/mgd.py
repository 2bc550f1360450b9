"""Masked generative distillation: make the teacher's whole features from a part of the student's."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.outputs import at_one_size, maps
from distillab.models.outputs import Outputs


@method("mgd", paper="Yang et al., Masked generative distillation, ECCV 2022")
class MaskedGeneration(Method):
    """Masked generation: a mean_n CE(p_s, y) + w mean_n sum_chw (g(M r(F_s)) - F_t)^2.

    F are the last maps ``[N, C, H, W]``, r a trained 1x1 convolution to the teacher's channels, M a mask that
    is drawn anew for every image and step and takes out the ``masked`` share of its channels, g two trained
    3x3 convolutions with a ReLU between. The larger map is average-pooled to the smaller one. p_s is the
    student's softmax.

    Defaults: w 0.0012, masked 0.15 and a 1 as in the authors' program for CIFAR-100 (w 7e-5 for ImageNet).

    Paper: Yang, Li, Shao, Shi, Yuan and Yuan, "Masked generative distillation", ECCV 2022, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The masked share, and the weights w (``mgd_weight``) and a (``ce_weight``)."""

        masked: Share = 0.15
        mgd_weight: Weight = 0.0012

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        ours, theirs = (paired_shapes(pair) or [(pair.student.maps[-1],) * 2])[-1]
        width = theirs[0]
        self.align = widen(ours[0], width, normalise=False)
        self.generate = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``mgd``. Raises ValueError without a teacher or maps."""
        ours, theirs = at_one_size(*maps(self, student, teacher)[-1])
        aligned = self.align(ours)
        kept = torch.rand(aligned.shape[:2], device=aligned.device) >= self.config.masked
        made = self.generate(aligned * kept[:, :, None, None])
        return {
            "mgd": self.config.mgd_weight * (made - theirs).square().sum() / len(made),
        }
