"""Transfer between stages that a learned attention matches."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.methods.connectors import bottleneck
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size
from distillab.models.outputs import Outputs


@method("semckd", paper="Chen et al., Cross-layer distillation with semantic calibration, AAAI 2021")
class SemanticCalibration(Method):
    """Semantic calibration: match every stage of the student to the teacher's stages by learned attention.

    a mean_n CE(p_s, y) + w mean_n sum_i sum_j A[n, i, j] mean_chw (r_ij(F_i) - F_j)^2 / S.

    F_i are the maps ``[N, C, H, W]`` of the student's S stages and F_j those of the teacher's, the larger
    average-pooled to the smaller; r_ij is a trained sequence of 1x1, 3x3 and 1x1 convolutions, with twice the
    teacher's channels between. A[n, i, :] is the softmax over the teacher's stages of q_i . k_j over the
    square root of ``width``, with q and k trained linear layers of the stages averaged over space. p_s is the
    student's softmax.

    Defaults are the authors' for CIFAR-100: w 400, a 1; width 128.

    Deviation: their queries are computed from the similarities of the examples of a batch, which fixes the
    batch size; these serve any.

    Paper: Chen, Mei, Zhang, Wang, Wang, Feng and Chen, "Cross-layer distillation with semantic calibration",
    AAAI 2021.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            width: Width of the attention.
            semckd_weight: w.
            ce_weight: a.
        """

        width: Annotated[int, Field(ge=1, strict=True)] = 128
        semckd_weight: Weight = 400.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        maps_t = (pair.student if pair.teacher is None else pair.teacher).maps
        maps_s = pair.student.maps
        self.queries = nn.ModuleList(nn.Linear(shape_s[0], config.width) for shape_s in maps_s)
        self.keys = nn.ModuleList(nn.Linear(shape_t[0], config.width) for shape_t in maps_t)
        self.connectors = nn.ModuleList(
            nn.ModuleList(bottleneck(shape_s[0], shape_t[0], 2 * shape_t[0]) for shape_t in maps_t)
            for shape_s in maps_s
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``semckd``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        if not student.maps or not teacher.maps:
            raise ValueError(f"method {self.name} needs the feature maps of both networks")
        maps_s = [in_full_precision(x) for x in student.maps]
        maps_t = [in_full_precision(x.detach()) for x in teacher.maps]
        distances = torch.stack([self._distances(i, f_s, maps_t) for i, f_s in enumerate(maps_s)], dim=1)
        weighted = (self.attention(maps_s, maps_t) * distances).sum((1, 2)) / len(maps_s)
        return {"semckd": self.config.semckd_weight * weighted.mean()}

    def attention(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Return A of the maps of all stages, ``[N, S, T]``, whose rows sum to 1."""
        queries = torch.stack([q(x.mean((2, 3))) for q, x in zip(self.queries, student, strict=True)], 1)
        keys = torch.stack([k(x.mean((2, 3))) for k, x in zip(self.keys, teacher, strict=True)], 1)
        return F.softmax(queries @ keys.mT / self.config.width**0.5, dim=2)

    def _distances(self, stage: int, student: Tensor, teacher: list[Tensor]) -> Tensor:
        """Return the mean squared differences of one stage to all of the teacher's: ``[N, T]``."""
        row: Any = self.connectors[stage]
        distances = []
        for connect, of_stage in zip(row, teacher, strict=True):
            f_s, f_t = at_one_size(student, of_stage)
            distances.append((connect(f_s) - f_t).square().mean((1, 2, 3)))
        return torch.stack(distances, dim=1)
