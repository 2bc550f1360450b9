"""Hints: match a teacher's feature maps half way through."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.outputs import at_one_size, maps
from distillab.models.outputs import Outputs


@method("fitnet", paper="Romero et al., FitNets: hints for thin deep nets, ICLR 2015")
class Hints(Method):
    """Hints: a mean_n CE(p_s, y) + w mean_nchw (r(F_s) - F_t)^2.

    F are the feature maps ``[N, C, H, W]`` of one pair of stages and r a trained 1x1 convolution with batch
    normalisation from the student's channels to the teacher's. The larger map is average-pooled to the
    smaller one.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: the second of three stages, w 100, a 1.
    ``stage`` counts from the deepest, which is 1; a pair with fewer uses its shallowest.

    Deviations: the hint is learned along with the labels instead of before them, as in those tables. Their
    connector ends in a ReLU; here it does not, so that maps with negative values can be met.

    Paper: Romero, Ballas, Kahou, Chassang, Gatta and Bengio, "FitNets: hints for thin deep nets", ICLR 2015,
    equation 3.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The stage, and the weights w (``hint_weight``) and a (``ce_weight``)."""

        stage: Annotated[int, Field(ge=1, strict=True)] = 2
        hint_weight: Weight = 100.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        self.place = -min(config.stage, max(len(shapes), 1))
        ours, theirs = shapes[self.place] if shapes else (pair.student.maps[-1],) * 2
        self.connector = widen(ours[0], theirs[0])

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``hint``. Raises ValueError without a teacher or maps."""
        ours, theirs = at_one_size(*maps(self, student, teacher)[self.place])
        return {
            "hint": self.config.hint_weight * F.mse_loss(self.connector(ours), theirs),
        }
