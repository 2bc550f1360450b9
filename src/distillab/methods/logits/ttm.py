"""Distillation from a power of the teacher's probabilities."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


class PowerOfTeacher(Method):
    """What :class:`TransformedTeacher` and its weighted form share."""

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            exponent: g.
            ttm_weight: w.
            ce_weight: a.
        """

        exponent: Temperature = 0.1
        ttm_weight: Weight = 45.0


def power_divergence(student: Tensor, teacher: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """Return KL(q_t || p_s) and U = sum_c p_t^exponent of each example, with q_t = p_t^exponent / U.

    Args:
        student: Logits, float ``[N, C]``.
        teacher: Logits, float ``[N, C]``; they get no gradient.
        exponent: The power of the teacher's probabilities.

    Returns:
        Both ``[N]``.
    """
    powers = exponent * in_full_precision(teacher.detach()).log_softmax(1)
    log_sum = powers.logsumexp(1, keepdim=True)
    log_q = powers - log_sum
    divergence = (log_q.exp() * (log_q - in_full_precision(student).log_softmax(1))).sum(1)
    return divergence, log_sum.exp()[:, 0]


@method(
    "ttm", paper="Zheng and Yang, Knowledge distillation based on transformed teacher matching, ICLR 2024"
)
class TransformedTeacher(PowerOfTeacher):
    """Transformed teacher matching: match a power of the teacher's probabilities, at temperature 1.

    a mean_n CE(p_s, y) + w mean_n KL(q_t || p_s), q_t = p_t^g / sum_c p_t^g.

    p = softmax(z), ``[N, C]``. q_t is the teacher at the temperature 1 / g; the student has none, which adds
    to distillation a bonus for the entropy of its own probabilities. There is no factor T^2.

    Defaults: g 0.1, w 45, a 1, as in the authors' example for CIFAR-100 (vgg13 teaches vgg8); they choose g
    and w by pair.

    Paper: Zheng and Yang, "Knowledge distillation based on transformed teacher matching", ICLR 2024.
    """

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``ttm``."""
        divergence, _ = power_divergence(student.logits, teacher.logits, self.config.exponent)
        return {"ttm": self.config.ttm_weight * divergence.mean()}
