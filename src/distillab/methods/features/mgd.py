"""Generation of the teacher's features from a part of the student's."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import deepest_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs


@method("mgd", paper="Yang et al., Masked generative distillation, ECCV 2022")
class MaskedGeneration(Method):
    """Masked generation: generate the teacher's features from a random part of the student's channels.

    a mean_n CE(p_s, y) + w mean_n sum_chw (g(M r(F_s)) - F_t)^2.

    F are the last maps ``[N, C, H, W]``, r a trained 1x1 convolution to the teacher's channels, or nothing
    where both networks have the same number (as in the authors' program), M a mask that
    is drawn anew for every example and step and removes the ``masked`` share of its channels, g two trained
    3x3 convolutions with a ReLU between. The larger map is average-pooled to the smaller one. p_s is the
    student's softmax.

    Defaults: w 0.0012, masked 0.15 and a 1 as in the authors' program for CIFAR-100 (w 7e-5 for ImageNet).

    Paper: Yang, Li, Shao, Shi, Yuan and Yuan, "Masked generative distillation", ECCV 2022, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            masked: Share of the channels that is removed.
            mgd_weight: w.
            ce_weight: a.
        """

        masked: Share = 0.15
        mgd_weight: Weight = 0.0012

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (channels, *_), (width, *_) = deepest_shapes(pair)
        same = channels == width
        self.align = nn.Identity() if same else widen(channels, width, normalize=False)
        self.generate = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``mgd``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        f_s, f_t = at_one_size(*paired_maps(self, student, teacher)[-1])
        aligned = self.align(f_s)
        kept = torch.rand(aligned.shape[:2], device=aligned.device) >= self.config.masked
        generated = self.generate(aligned * kept[:, :, None, None])
        return {"mgd": self.config.mgd_weight * (generated - f_t).square().sum() / len(generated)}
