"""Transfer of spatial attention."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs, unit_norm


@method("at", paper="Zagoruyko and Komodakis, Paying more attention to attention, ICLR 2017")
class AttentionTransfer(Method):
    """Attention transfer: match where the teacher's feature maps are active.

    a mean_n CE(p_s, y) + w sum_stages mean_n mean_hw (q_s - q_t)^2.

    q ``[N, H, W]`` is the mean over channels of a stage's squared activations, scaled to unit L2 norm over
    space (:func:`distillab.models.outputs.attention_map`). Student and teacher need not have the same
    channels, sizes or number of stages: stages are paired from the deepest backwards, and those left over at
    the shallow end are not used.

    Defaults: w 1000, a 1.

    Deviation: where two maps differ in size the paper's program pools the larger feature maps and takes the
    attention of the result. Here the larger attention map itself is average-pooled and scaled to unit norm
    again, since nothing else of the teacher is kept.

    Paper: Zagoruyko and Komodakis, "Paying more attention to attention: improving the performance of
    convolutional neural networks via attention transfer", ICLR 2017, equation 2 with p = 2.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "attention"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            at_weight: w.
            ce_weight: a.
        """

        at_weight: Weight = 1000.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``at``.

        Raises:
            ValueError: A network gives no attention maps.
        """
        stages = min(len(student.attention), len(teacher.attention))
        if not stages:
            raise ValueError(f"method {self.name} needs the attention maps of both networks")
        pairs = zip(student.attention[-stages:], teacher.attention[-stages:], strict=True)
        distances = torch.stack([attention_distance(q_s, q_t) for q_s, q_t in pairs])
        return {"at": self.config.at_weight * distances.sum()}


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of attention maps, each ``[N, H, W]`` of its own H and W; a scalar.

    Both are brought to the smaller height and width. No gradient reaches the teacher.
    """
    size = (min(student.shape[1], teacher.shape[1]), min(student.shape[2], teacher.shape[2]))
    q_s, q_t = (_at_size(in_full_precision(maps), size) for maps in (student, teacher.detach()))
    return (q_s - q_t).square().mean()


def _at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[1:] == size else unit_norm(adaptive_avg_pool2d(maps, size))
