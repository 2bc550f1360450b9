"""Semantic calibration: every stage of the student finds the stages of the teacher that suit it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.methods.connectors import bottleneck
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.outputs import at_one_size
from distillab.models.outputs import Outputs


@method("semckd", paper="Chen et al., Cross-layer distillation with semantic calibration, AAAI 2021")
class SemanticCalibration(Method):
    """Semantic calibration: every stage of the student finds the stages of the teacher that suit it.

    a mean_n CE(p_s, y) + w mean_n sum_i sum_j A[n, i, j] mean_chw (r_ij(F_i) - F_j)^2 / S.

    F_i are the maps ``[N, C, H, W]`` of the student's S stages and F_j those of the teacher's; r_ij is a
    trained bottleneck of 1x1, 3x3 and 1x1 convolutions. A[n, i, :] is the softmax over the teacher's
    stages of q_i . k_j over the square root of ``width``, with q and k trained linear layers of the
    stages averaged over space. The larger map is average-pooled to the smaller one. p_s is the student's
    softmax.

    Defaults are the authors' for CIFAR-100: w 400, a 1; width 128.

    Deviation: their queries are made of the similarities of the images of a batch, so that they know one size
    of batch; these know any.

    Paper: Chen, Mei, Zhang, Wang, Wang, Feng and Chen, "Cross-layer distillation with semantic calibration",
    AAAI 2021.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The width of the attention, and the weights w (``semckd_weight``) and a (``ce_weight``)."""

        width: Annotated[int, Field(ge=1, strict=True)] = 128
        semckd_weight: Weight = 400.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        theirs = (pair.student if pair.teacher is None else pair.teacher).maps
        ours = pair.student.maps
        self.queries = nn.ModuleList(nn.Linear(mine[0], config.width) for mine in ours)
        self.keys = nn.ModuleList(nn.Linear(its[0], config.width) for its in theirs)
        self.connectors = nn.ModuleList(
            nn.ModuleList(bottleneck(mine[0], its[0], its[0]) for its in theirs) for mine in ours
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``semckd``. Raises ValueError without a teacher or maps."""
        said = teacher
        if not student.maps or not said.maps:
            raise ValueError(f"method {self.name} needs the feature maps of both networks")
        ours = [in_full_precision(x) for x in student.maps]
        theirs = [in_full_precision(x.detach()) for x in said.maps]
        apart = torch.stack([self._apart(i, mine, theirs) for i, mine in enumerate(ours)], dim=1)
        weighted = (self.attention(ours, theirs) * apart).sum((1, 2)) / len(ours)
        return {
            "semckd": self.config.semckd_weight * weighted.mean(),
        }

    def attention(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """A: maps of the stages -> ``[N, S, T]``, whose rows sum to 1."""
        queries = torch.stack([layer(x.mean((2, 3))) for layer, x in zip(self.queries, ours, strict=True)], 1)
        keys = torch.stack([layer(x.mean((2, 3))) for layer, x in zip(self.keys, theirs, strict=True)], 1)
        return F.softmax(queries @ keys.mT / self.config.width**0.5, dim=2)

    def _apart(self, stage: int, ours: Tensor, theirs: list[Tensor]) -> Tensor:
        """Mean squared differences of one stage to all of the teacher's: ``[N, T]``."""
        row: Any = self.connectors[stage]
        pairs = [at_one_size(connect(ours), its) for connect, its in zip(row, theirs, strict=True)]
        return torch.stack([(s - t).square().mean((1, 2, 3)) for s, t in pairs], dim=1)
