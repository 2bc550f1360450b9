"""Transfer of the feature map of a network for tracking, where objects are or both networks differ."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillab.methods.connectors import deepest_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs
from distillab.tasks.dense_outputs import DenseOutputs


@method(
    "attention_guided",
    paper="Liang et al., Compressing the multiobject tracking model via knowledge distillation, 2024",
)
class AttentionGuided(Method):
    """Attention-guided feature distillation of a tracker: match the map at crucial regions.

    a L(s, y) + b mean_n [sum_hw M mean_c (F_t - phi(F_s))^2 / sum_hw M].

    F_s and F_t are the feature maps ``[N, C, H, W]`` that all heads read, and phi is a trained 1x1
    convolution to the teacher's channels. The attention M = min(1, p_t + D) ``[N, H, W]`` gets no gradient:
    p_t is the teacher's largest class probability at a place, its foreground, and D = mean_c |F_t - phi(F_s)|
    of an image, moved and scaled to [0, 1], is large where student and teacher disagree.

    Defaults: a 1, b 1. The paper's text was not in reach: this is the design of its abstract, and formula and
    weights are this package's.

    Paper: Liang et al., "Compressing the multiobject tracking model via knowledge distillation", IEEE
    Transactions on Computational Social Systems, 2024.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "logits", "maps"})
    tasks: ClassVar[frozenset[str] | None] = frozenset({"tracking"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            ce_weight: a.
            feature_weight: b.
        """

        feature_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (inside, *_), (outside, *_) = deepest_shapes(pair)
        self.connector = widen(inside, outside, normalize=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``features``.

        Raises:
            ValueError: A network gives no feature map.
        """
        own, other = at_one_size(*paired_maps(self, student, teacher)[-1])
        difference = other - self.connector(own)
        confidences = DenseOutputs.of(teacher.logits.detach()).confidences().amax(dim=2)
        attention = guided_attention(confidences.view(len(own), *own.shape[2:]), difference)
        errors = (attention * difference.square().mean(dim=1)).sum(dim=(1, 2))
        loss = (errors / attention.sum(dim=(1, 2)).clamp(min=1e-6)).mean()
        return {"features": self.config.feature_weight * loss}


@torch.no_grad()
def guided_attention(foreground: Tensor, difference: Tensor) -> Tensor:
    """Return where student and teacher are compared, float ``[N, H, W]`` in [0, 1].

    Args:
        foreground: The teacher's largest class probability at each place, ``[N, H, W]``.
        difference: The difference of the feature maps, ``[N, C, H, W]``.

    Example:
        >>> guided_attention(torch.tensor([[[0.9, 0.25]]]), torch.tensor([[[[1.0, -3.0]]]])).tolist()
        [[[0.8999999761581421, 1.0]]]
    """
    found = difference.abs().mean(dim=1)
    least, most = found.amin(dim=(1, 2), keepdim=True), found.amax(dim=(1, 2), keepdim=True)
    return (foreground + (found - least) / (most - least).clamp(min=1e-12)).clamp(max=1)
