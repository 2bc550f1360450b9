"""Transfer of the similarities of examples."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_maps
from distillab.models.outputs import Outputs


@method("sp", paper="Tung and Mori, Similarity-preserving knowledge distillation, ICCV 2019")
class SimilarityPreserving(Method):
    """Similarity preserving: match the similarities of examples in the last feature maps.

    a mean_n CE(p_s, y) + w mean_nm (G_s - G_t)^2.

    G ``[N, N]`` holds the inner products of the examples' last feature maps ``[N, C, H, W]``, each row scaled
    to unit length, so maps may differ in everything but the number of examples. p_s is the student's softmax.

    Defaults are the authors': w 3000, a 1, the last stage.

    Paper: Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            sp_weight: w.
            ce_weight: a.
        """

        sp_weight: Weight = 3000.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``sp``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        g_s, g_t = (similarities(x) for x in paired_maps(self, student, teacher)[-1])
        return {"sp": self.config.sp_weight * (g_s - g_t).square().mean()}


def similarities(features: Tensor) -> Tensor:
    """Return the inner products of examples, rows of unit length: ``[N, ...]`` -> ``[N, N]``."""
    flat = features.flatten(1)
    # The scale of all features together leaves the result as it is, and large ones finite.
    flat = flat / flat.detach().abs().amax().clamp(min=1e-12)
    return F.normalize(flat @ flat.T, dim=1)
