"""Reuse of a robust teacher's last layer, with features matched group by group."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from distillab.methods.head_folding import Transplant
from distillab.methods.method import Batch, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.methods.robust.weighting import even_weights
from distillab.models.outputs import Outputs


@method(
    "last_layer_transplant", paper="Lee and Lee, Debiased distillation by transplanting the last layer, 2023"
)
class LastLayerTransplant(Transplant):
    """Last-layer transplant: give the student a robust teacher's last layer, match features by group.

    w mean_n u_n mean_d (P e_s + b - e_t)^2 + a mean_n CE(p_s, y), p_s by the teacher's layer.

    e are the embeddings ``[N, D]``, P and b a trained projection; the student ends in the teacher's last
    layer, which is fixed. u_n is one over the number of training examples of n's group, or of its class if
    the data have no groups, scaled to mean 1: examples against the grain are matched as much as the many
    along it. For a teacher that was made robust, the layer keeps that; labels would bring the bias back.
    Where two examples were mixed, n's class is that with the larger share, and its group that of the example
    itself, since the group of the other is not known.

    Defaults: w 1, a 0.

    Deviation: the authors weigh up the examples that a biased network gets wrong where groups are not known;
    here classes take their place. The projection is linear and folds into the student's own last layer.

    Paper: Lee and Lee, "Debiased distillation by transplanting the last layer", 2023 (arXiv 2302.11187).
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "every_label", "embedding", "teacher_classifier"})
    revision: ClassVar[int] = 3

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            feature_weight: w.
            ce_weight: a.
        """

        feature_weight: Weight = 1.0
        ce_weight: Weight = 0.0

    weights: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        kinds = pair.labels if pair.groups is None else pair.groups
        number = pair.student.classes if pair.groups is None else int(pair.groups.max()) + 1
        self.register_buffer("weights", even_weights(kinds, number), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``features``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        kinds = batch.dominant if self.pair.groups is None or batch.groups is None else batch.groups
        distances = (self.projector(e_s) - e_t).square().mean(1)
        return {"features": self.config.feature_weight * (self.weights[kinds] * distances).mean()}
