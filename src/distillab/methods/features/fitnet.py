"""Transfer of the feature maps of one stage."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs


@method("fitnet", paper="Romero et al., FitNets: hints for thin deep nets, ICLR 2015")
class Hints(Method):
    """Hints: match the teacher's feature maps at one stage.

    a mean_n CE(p_s, y) + w mean_nchw (r(F_s) - F_t)^2.

    F are the feature maps ``[N, C, H, W]`` of one pair of stages and r a trained 1x1 convolution with batch
    normalization from the student's channels to the teacher's. The larger map is average-pooled to the
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
        """Hyper-parameters.

        Attributes:
            stage: The stage, counted from the deepest.
            hint_weight: w.
            ce_weight: a.
        """

        stage: Annotated[int, Field(ge=1, strict=True)] = 2
        hint_weight: Weight = 100.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        self.place = -min(config.stage, max(len(shapes), 1))
        shape_s, shape_t = shapes[self.place] if shapes else (pair.student.maps[-1],) * 2
        self.connector = widen(shape_s[0], shape_t[0])

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``hint``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        f_s, f_t = at_one_size(*paired_maps(self, student, teacher)[self.place])
        return {"hint": self.config.hint_weight * F.mse_loss(self.connector(f_s), f_t)}
