"""Transfer of embeddings that are normalized over the batch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.methods.divergence import kl_divergence
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs

_EPSILON = 1e-4
_LEAST = 1e-30


@method("srd", paper="Miles and Mikolajczyk, Understanding the role of the projector, AAAI 2024")
class SimpleRecipe(Method):
    """Simple recipe: match the teacher's embedding by a linear projector, both normalized over the batch.

    a mean_n CE(p_s, y) + b mean_n KL(p_t || p_s) + w log sum_nd |B(P e_s + c) - B(e_t)|^k.

    e are the embeddings ``[N, D]``, P and c a trained linear layer to the teacher's width, and B subtracts
    the mean over the batch from each number and divides by its standard deviation, sqrt(variance + 1e-4). p =
    softmax(z), without a temperature. The logarithm makes the gradient independent of the scale of the
    distance, and with it of the width of embeddings and the size of the batch.

    Defaults are the authors' for ImageNet: k 4, w 2, b 1, a 1.

    Paper: Miles and Mikolajczyk, "Understanding the role of the projector in knowledge distillation", AAAI
    2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "logits", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            power: k.
            feature_weight: w.
            kd_weight: b.
            ce_weight: a.
        """

        power: Annotated[float, Field(ge=1, le=8, strict=True)] = 4.0
        feature_weight: Weight = 2.0
        kd_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        teacher = pair.student if pair.teacher is None else pair.teacher
        self.projector: nn.Module = nn.Linear(pair.student.embedding or 1, teacher.embedding or 1)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``features`` and ``kd``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        difference = normalized_over_batch(self.projector(e_s)) - normalized_over_batch(e_t)
        distance = difference.abs().pow(self.config.power).sum().clamp(min=_LEAST).log()
        divergence = kl_divergence(student.logits, teacher.logits).mean()
        return {
            "features": self.config.feature_weight * distance,
            "kd": self.config.kd_weight * divergence,
        }


def normalized_over_batch(features: Tensor) -> Tensor:
    """Return features ``[N, D]`` of mean 0 and variance 1 in every column; 0 for a batch of one."""
    centered = features - features.mean(0)
    return centered / (centered.square().mean(0) + _EPSILON).sqrt()
