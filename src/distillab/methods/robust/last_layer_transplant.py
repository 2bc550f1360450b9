"""Last-layer transplant: the layer of a teacher without bias, and features matched group by group."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from distillab.methods.head_folding import Transplant
from distillab.methods.method import Batch, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.outputs import embeddings
from distillab.methods.robust.weighting import even_weights
from distillab.models.outputs import Outputs


@method(
    "last_layer_transplant", paper="Lee and Lee, Debiased distillation by transplanting the last layer, 2023"
)
class LastLayerTransplant(Transplant):
    """Last-layer transplant: the layer of a teacher without bias, and features matched group by group.

    w mean_n u_n mean_d (P e_s + b - e_t)^2 + a mean_n CE(p_s, y), p_s by the teacher's layer.

    e are the embeddings ``[N, D]``, P and b a trained projection; the student ends in the teacher's last
    layer, which is fixed. u_n is one over the number of training images of n's group, or of its class if
    the data have no groups, scaled to mean 1: images against the grain are matched as much as the many
    along it. For a teacher that was made robust, the layer keeps that; labels would bring the bias back.

    Defaults: w 1, a 0.

    Deviation: the authors weigh up the images that a biased network gets wrong where groups are not known;
    here classes take their place. The projection is linear and folds into the student's own last layer.

    Paper: Lee and Lee, "Debiased distillation by transplanting the last layer", 2023 (arXiv 2302.11187).
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "every_label", "embedding", "teacher_classifier"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """The weights w (``feature_weight``) and a (``ce_weight``)."""

        feature_weight: Weight = 1.0
        ce_weight: Weight = 0.0

    weights: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        kinds = pair.labels if pair.groups is None else pair.groups
        number = pair.student.classes if pair.groups is None else int(pair.groups.max()) + 1
        self.register_buffer("weights", even_weights(kinds, number), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``features``. Raises ValueError without a teacher or embeddings."""
        ours, theirs = embeddings(self, student, teacher)
        kinds = batch.labels if self.pair.groups is None or batch.groups is None else batch.groups
        apart = (self.projector(ours) - theirs).square().mean(1)
        return {
            "features": self.config.feature_weight * (self.weights[kinds] * apart).mean(),
        }
