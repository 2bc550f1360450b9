"""Transfer of feature maps, weighted by how much their directions differ."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs, attention_map


@method(
    "cosine_guided",
    paper="Park et al., Cosine similarity-guided knowledge distillation, Scientific Reports 2024",
)
class CosineGuided(Method):
    """Cosine-guided distillation: match feature maps where their directions differ from the teacher's.

    a mean_n CE(p_s, y) + mean_stages (u mean_nchw W (s - t)^2 + v (mean 1 - c_ch + mean 1 - c_sp)).

    s are the student's maps ``[N, C, H, W]`` after a trained 1x1 convolution to the teacher's channels, t the
    teacher's. c_ch ``[N, C]`` is the cosine of a channel of both over places, c_sp ``[N, H, W]`` that of a
    place over channels, and W = |(1 - c_ch)(1 - c_sp)| is large where both differ. The larger map is
    average-pooled to the smaller one. p_s is the student's softmax.

    With ``mask: attention`` only the places count where the teacher is more active than on average.

    Defaults: u 1, v 0.5 as the authors' for most detectors, a 1, no mask, all stages. They use it on the
    pyramid, regions and towers of detectors; here it is for the stages of classifiers and the pyramid of
    detectors.

    Paper: Park et al., "Cosine similarity-guided knowledge distillation for robust object detectors",
    Scientific Reports 2024.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            value_weight: u.
            cosine_weight: v.
            mask: Which places count.
            ce_weight: a.
        """

        value_weight: Weight = 1.0
        cosine_weight: Weight = 0.5
        mask: Literal["none", "attention"] = "none"

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.connectors = nn.ModuleList(
            widen(shape_s[0], shape_t[0], normalize=False) for shape_s, shape_t in paired_shapes(pair)
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``values`` and ``cosines``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        found = [at_one_size(*pair) for pair in paired_maps(self, student, teacher)]
        parts = [
            torch.stack(guided_losses(connect(f_s), f_t, self.mask(f_t)))
            for connect, (f_s, f_t) in zip(self.connectors, found, strict=True)
        ]
        values, cosines = torch.stack(parts).mean(0)
        return {"values": self.config.value_weight * values, "cosines": self.config.cosine_weight * cosines}

    def mask(self, teacher: Tensor) -> Tensor:
        """Return which places count, 0 or 1: maps ``[N, C, H, W]`` -> ``[N, 1, H, W]``."""
        if self.config.mask == "none":
            return torch.ones_like(teacher[:, :1])
        active = attention_map(teacher)
        return (active >= active.mean((1, 2), keepdim=True)).to(teacher)[:, None]


def guided_losses(student: Tensor, teacher: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two parts of the loss of one stage, as scalars.

    Args:
        student: Maps ``[N, C, H, W]``.
        teacher: Maps ``[N, C, H, W]``.
        mask: Which places count, ``[N, 1, H, W]``.
    """
    across = 1 - F.cosine_similarity((student * mask).flatten(2), (teacher * mask).flatten(2), dim=2)
    along = 1 - F.cosine_similarity(student, teacher, dim=1)
    weight = (across[:, :, None, None] * along[:, None]).abs() * mask
    places = mask.sum().clamp(min=1)
    values = (weight * (student - teacher).square()).sum() / (places * student.shape[1])
    return values, across.mean() + (along * mask[:, 0]).sum() / places
