"""Transfer of the correlations between the channels of feature maps."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.connectors import deepest_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_maps
from distillab.models.outputs import Outputs


@method("ickd", paper="Liu et al., Exploring inter-channel correlation, ICCV 2021")
class ChannelCorrelation(Method):
    """Inter-channel correlation: match which channels of the teacher are active at the same places.

    a mean_n CE(p_s, y) + w mean_n sum_cd (G_s - G_t)[c, d]^2 / C.

    G = F F^T ``[C, C]`` of the last maps, flattened to ``[C, H W]``, each row scaled to unit length; the
    student's after a trained 1x1 convolution with batch normalization to the teacher's C channels. Maps of
    different sizes are compared as they are. p_s is the student's softmax.

    Defaults: a 1 as the authors'; w 2.5 is chosen here, since their program names none and leaves it to its
    caller.

    Paper: Liu, Huang, Lin, Xie, Wang, Chang and Liang, "Exploring inter-channel correlation for
    diversity-preserved knowledge distillation", ICCV 2021.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            ickd_weight: w.
            ce_weight: a.
        """

        ickd_weight: Weight = 2.5

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (channels_s, *_), (channels_t, *_) = deepest_shapes(pair)
        self.connector: nn.Module = widen(channels_s, channels_t)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``ickd``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        f_s, f_t = paired_maps(self, student, teacher)[-1]
        difference = channel_correlations(self.connector(f_s)) - channel_correlations(f_t)
        distance = difference.square().sum((1, 2)).mean() / f_t.shape[1]
        return {"ickd": self.config.ickd_weight * distance}


def channel_correlations(maps: Tensor) -> Tensor:
    """Return G of maps ``[N, C, H, W]``: ``[N, C, C]``, rows of unit length."""
    places = maps.flatten(2)
    return F.normalize(places @ places.mT, dim=2)
