"""Transfer of the mean and the spread of each channel of the teacher's features."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.methods.connectors import deepest_shapes, widen
from distillab.methods.logits.wkd_logits import late_decay
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_maps
from distillab.models.outputs import Outputs

_EPSILON = 1e-5


@method(
    "wkd_features", paper="Lv et al., Wasserstein distance rivals Kullback-Leibler divergence, NeurIPS 2024"
)
class TransportOfFeatures(Method):
    """WKD-F: match each channel's mean and standard deviation over space, a distance between Gaussians.

    a mean_n CE(p_s, y) + w(t) mean_n (r sum_c (mu_s - mu_t)^2 + sum_c (sd_s - sd_t)^2).

    mu and sd = sqrt(variance + 1e-5) are those of the last maps ``[N, C, H, W]`` over space, the student's
    after a trained 1x1 convolution with batch normalization and ReLU. With r 1 it is the squared Wasserstein
    distance of Gaussians with independent channels. Maps of different sizes are compared as they are. w(t)
    falls to 0 by a half cosine from ``decay`` of the training on. p_s is the student's softmax.

    Defaults are the authors' for CIFAR-100: w 0.08, r 4, decay from 150 of 240 epochs on, a 1.

    Paper: Lv, Yang and Li, "Wasserstein distance rivals Kullback-Leibler divergence for knowledge
    distillation", NeurIPS 2024.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            mean_ratio: r.
            decay: Share of the training after which w falls.
            wkd_weight: w.
            ce_weight: a.
        """

        mean_ratio: Weight = 4.0
        decay: Annotated[Share, Field(lt=1)] = 150 / 240
        wkd_weight: Weight = 0.08

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        (channels_s, *_), (channels_t, *_) = deepest_shapes(pair)
        self.connector: nn.Module = nn.Sequential(widen(channels_s, channels_t), nn.ReLU())

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``means`` and ``deviations``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        f_s, f_t = paired_maps(self, student, teacher)[-1]
        (mean_s, deviation_s), (mean_t, deviation_t) = (
            moments_over_space(self.connector(f_s)),
            moments_over_space(f_t),
        )
        weight = self.config.wkd_weight * late_decay(batch.progress, self.config.decay)
        return {
            "means": weight * self.config.mean_ratio * (mean_s - mean_t).square().sum(1).mean(),
            "deviations": weight * (deviation_s - deviation_t).square().sum(1).mean(),
        }


def moments_over_space(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over space, ``[N, C, H, W]`` -> ``[N, C]`` both.

    The variance is that of a sample; 0 where there is one place.
    """
    places = maps.flatten(2)
    mean = places.mean(2)
    squared = (places - mean[:, :, None]).square().sum(2) / max(places.shape[2] - 1, 1)
    return mean, (squared + _EPSILON).sqrt()
