"""Softmax regression representation learning: features that the teacher's classifier understands."""

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
    """Softmax regression representation learning: features that the teacher's classifier understands.

    a mean_n CE(p_s, y) + u mean_n mean_d (f - e_t)^2 + v mean_n mean_c (W f + c - z_t)^2.

    f ``[N, D]`` are the student's last maps after a trained 1x1 convolution with batch normalisation and
    ReLU, averaged over space, e_t the teacher's embedding, z_t its logits ``[N, C]``; W and c its last
    layer, which is fixed: what the student's features make the teacher's classifier say should be what
    the teacher says. p_s is the student's softmax by its own layer.

    Defaults are the authors': u 1, v 1, a 1.

    Paper: Yang, Martinez, Bulat and Tzimiropoulos, "Knowledge distillation via softmax regression
    representation learning", ICLR 2021, equations 3 and 5.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps", "teacher_classifier"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits", "embedding", "teacher_classifier"})

    class Config(WeightedConfig):
        """The weights u (``feature_weight``), v (``regression_weight``) and a (``ce_weight``)."""

        feature_weight: Weight = 1.0
        regression_weight: Weight = 1.0

    their_weight: Tensor
    their_bias: Tensor | None

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        theirs = pair.student if pair.teacher is None else pair.teacher
        width = theirs.embedding or 1
        self.connector = nn.Sequential(widen(pair.student.maps[-1][0], width), nn.ReLU())
        last = pair.teacher_classifier or nn.Linear(width, theirs.classes)
        self.register_buffer("their_weight", last.weight.detach().clone(), persistent=False)
        bias = None if last.bias is None else last.bias.detach().clone()
        self.register_buffer("their_bias", bias, persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce``, ``features`` and ``regression``. Raises ValueError without what it needs."""
        theirs = teacher
        if not student.maps or theirs.embedding is None:
            raise ValueError(f"method {self.name} needs the maps and the embedding of both networks")
        features = self.connector(in_full_precision(student.maps[-1])).mean((2, 3))
        said = F.linear(features, self.their_weight, self.their_bias)
        config = self.config
        target, logits = (in_full_precision(x.detach()) for x in (theirs.embedding, theirs.logits))
        return {
            "features": config.feature_weight * F.mse_loss(features, target),
            "regression": config.regression_weight * F.mse_loss(said, logits),
        }
