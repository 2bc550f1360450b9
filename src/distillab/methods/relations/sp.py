"""Similarity preserving: images that excite the teacher alike should excite the student alike."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.methods.outputs import maps
from distillab.models.outputs import Outputs


@method("sp", paper="Tung and Mori, Similarity-preserving knowledge distillation, ICCV 2019")
class SimilarityPreserving(Method):
    """Similarity preserving: a mean_n CE(p_s, y) + w mean_nm (G_s - G_t)^2.

    G ``[N, N]`` holds the inner products of the images' last feature maps ``[N, C, H, W]``, each row scaled
    to unit length, so maps may differ in everything but the number of images. p_s is the student's softmax.

    Defaults are the authors': w 3000, a 1, the last stage.

    Paper: Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The weights w (``sp_weight``) and a (``ce_weight``)."""

        sp_weight: Weight = 3000.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``sp``. Raises ValueError without a teacher or maps."""
        ours, theirs = (similarities(x) for x in maps(self, student, teacher)[-1])
        return {
            "sp": self.config.sp_weight * (ours - theirs).square().mean(),
        }


def similarities(features: Tensor) -> Tensor:
    """Inner products of images, rows of unit length: ``[N, ...]`` -> ``[N, N]``."""
    flat = features.flatten(1)
    # The scale of all features together leaves the result as it is, and large ones finite.
    flat = flat / flat.detach().abs().amax().clamp(min=1e-12)
    return F.normalize(flat @ flat.T, dim=1)
