"""Transfer of what the teacher's ReLUs let through."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_preactivations
from distillab.models.outputs import Outputs


@method("ofd", paper="Heo et al., A comprehensive overhaul of feature distillation, ICCV 2019")
class FeatureOverhaul(Method):
    """Feature overhaul: match the teacher's features where its ReLUs let them through.

    a mean_n CE(p_s, y) + w sum_k 2^(k - L) mean_n sum_chw d(s, max(t, m_c)).

    d(s, t) = (s - t)^2, but 0 where s <= t <= 0: of a unit that is off in the teacher nothing more than off
    is required. s and t are maps ``[N, C, H, W]`` before their ReLU, s after a trained 1x1 convolution with
    batch normalization; m_c is the mean of channel c of the teacher where it is negative; k counts the L
    stages from shallow to deep. The larger map is average-pooled to the smaller one. p_s is the student's
    softmax.

    Defaults: w 0.001, a 1 as the authors' for CIFAR-100.

    Deviation: they compute m_c from the teacher's batch normalization. Here it is the mean over all outputs
    of the teacher so far in the training, so that any architecture serves.

    Deviation: of pre-activation networks, such as wide ResNets, whose stages end in no ReLU, the maps are the
    sums themselves; the authors take them after the batch normalization that follows.

    Paper: Heo, Kim, Yun, Park, Kwak and Choi, "A comprehensive overhaul of feature distillation", ICCV 2019,
    equations 2 to 5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "preactivations"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            ofd_weight: w.
            ce_weight: a.
        """

        ofd_weight: Weight = 0.001

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        self.connectors = nn.ModuleList(widen(shape_s[0], shape_t[0]) for shape_s, shape_t in shapes)
        self.margins = nn.ModuleList(NegativeMean(shape_t[0]) for _, shape_t in shapes)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``ofd``.

        Raises:
            ValueError: A network gives no preactivations.
        """
        found = paired_preactivations(self, student, teacher)
        parts = []
        for place, (f_s, f_t) in enumerate(found, 1):
            margin = self.margins[place - 1](f_t)
            s, t = at_one_size(self.connectors[place - 1](f_s), torch.maximum(f_t, margin))
            parts.append(2.0 ** (place - len(found)) * partial_distance(s, t))
        return {"ofd": self.config.ofd_weight * torch.stack(parts).sum()}


class NegativeMean(nn.Module):
    """The mean of each channel where it is negative, over all maps ``[N, C, H, W]`` so far: ``[C, 1, 1]``."""

    sums: Tensor
    counts: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(channels), persistent=False)
        self.register_buffer("counts", torch.zeros(channels), persistent=False)

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        """Add the maps to the sums, and return the mean; 0 for a channel that was never negative."""
        negative = maps < 0
        self.sums = self.sums + (maps * negative).sum((0, 2, 3)).to(self.sums)
        self.counts = self.counts + negative.sum((0, 2, 3))
        mean = self.sums / self.counts.clamp(min=1)
        return mean[:, None, None].to(maps)


def partial_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over examples of the sum of d: maps ``[N, C, H, W]`` both, a scalar."""
    counts = (student > teacher) | (teacher > 0)
    return ((student - teacher).square() * counts).sum() / len(student)
