"""Transfer of embeddings through an orthogonal projection."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from distillab.methods.divergence import kl_divergence
from distillab.methods.method import Batch, Method, Need, Pair, Temperature, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method("vkd", paper="Miles et al., VkD: improving knowledge distillation using orthogonal projections, 2024")
class OrthogonalProjection(Method):
    """Orthogonal projection: match the teacher's normalized embedding by a rotation of the student's.

    a mean_n CE(p_s, y) + w mean_nd smoothL1(P e_s, N(e_t)) + b T^2 mean_n KL(p_t || p_s).

    e are the embeddings ``[N, D]``. P is trained under the constraint that its rows are orthonormal, or its
    columns where the teacher is wider, without bias: it keeps the distances between examples, so that all
    that is to be learned must be learned by the student and not by the projection. N subtracts the mean of an
    example's embedding and divides by its standard deviation. p = softmax(z / T).

    Defaults are the authors': w 1, b 1, T 1, a 1.

    Deviation: the authors learn the third term with a second last layer, on a token of its own; here one last
    layer learns both.

    Paper: Miles, Elezi and Deng, "VkD: improving knowledge distillation using orthogonal projections", CVPR
    2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "logits", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            feature_weight: w.
            kd_weight: b.
            ce_weight: a.
        """

        temperature: Temperature = 1.0
        feature_weight: Weight = 1.0
        kd_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        teacher = pair.student if pair.teacher is None else pair.teacher
        self.projector = orthogonal(
            nn.Linear(pair.student.embedding or 1, teacher.embedding or 1, bias=False)
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``features`` and ``kd``.

        Raises:
            ValueError: A network gives no embedding.
        """
        config = self.config
        e_s, e_t = paired_embeddings(self, student, teacher)
        distance = F.smooth_l1_loss(self.projector(e_s), F.layer_norm(e_t, e_t.shape[1:]))
        divergence = kl_divergence(student.logits, teacher.logits, config.temperature).mean()
        return {
            "features": config.feature_weight * distance,
            "kd": config.kd_weight * config.temperature**2 * divergence,
        }
