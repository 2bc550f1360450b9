"""Transfer of features by way of the teacher's classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.connectors import widen
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method(
    "srrl",
    paper="Yang et al., Knowledge distillation via softmax regression representation learning, ICLR 2021",
)
class SoftmaxRegression(Method):
    """Softmax regression: match the teacher's embedding, and its logits through its own classifier.

    a mean_n CE(p_s, y) + u mean_n mean_d (f - e_t)^2 + v mean_n mean_c (W f + c - z_t)^2.

    f ``[N, D]`` are the student's last maps after a trained 1x1 convolution with batch normalization and
    ReLU, averaged over space, e_t the teacher's embedding, z_t its logits ``[N, C]``; W and c its last
    layer, which is fixed: from the student's features the teacher's classifier should give the teacher's
    logits. p_s is the student's softmax by its own layer.

    Defaults are the authors': u 1, v 1, a 1.

    Paper: Yang, Martinez, Bulat and Tzimiropoulos, "Knowledge distillation via softmax regression
    representation learning", ICLR 2021, equations 3 and 5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps", "teacher_classifier"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits", "embedding", "teacher_classifier"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            feature_weight: u.
            regression_weight: v.
            ce_weight: a.
        """

        feature_weight: Weight = 1.0
        regression_weight: Weight = 1.0

    teacher_weight: Tensor
    teacher_bias: Tensor | None

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = pair.student if pair.teacher is None else pair.teacher
        width = shapes.embedding or 1
        self.connector = nn.Sequential(widen(pair.student.maps[-1][0], width), nn.ReLU())
        last = pair.teacher_classifier or nn.Linear(width, shapes.classes)
        self.register_buffer("teacher_weight", last.weight.detach().clone(), persistent=False)
        bias = None if last.bias is None else last.bias.detach().clone()
        self.register_buffer("teacher_bias", bias, persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``features`` and ``regression``.

        Raises:
            ValueError: The student gives no feature maps, or the teacher no embedding.
        """
        if not student.maps or teacher.embedding is None:
            raise ValueError(f"method {self.name} needs the maps and the embedding of both networks")
        features = self.connector(in_full_precision(student.maps[-1])).mean((2, 3))
        logits = F.linear(features, self.teacher_weight, self.teacher_bias)
        e_t, z_t = (in_full_precision(x.detach()) for x in (teacher.embedding, teacher.logits))
        return {
            "features": self.config.feature_weight * F.mse_loss(features, e_t),
            "regression": self.config.regression_weight * F.mse_loss(logits, z_t),
        }
