"""Distillation from a power of the teacher's probabilities, examples weighed by how even they are."""

from __future__ import annotations

from torch import Tensor

from distillab.methods.logits.ttm import PowerOfTeacher, power_divergence
from distillab.methods.method import Batch, Temperature, Weight, method
from distillab.models.outputs import Outputs


@method(
    "wttm", paper="Zheng and Yang, Knowledge distillation based on transformed teacher matching, ICLR 2024"
)
class WeightedTransformedTeacher(PowerOfTeacher):
    """Weighted transformed teacher matching: as ``ttm``, with more weight where the teacher is less certain.

    a mean_n CE(p_s, y) + w mean_n U_n KL(q_t || p_s), q_t = p_t^g / U_n, U_n = sum_c p_t[c]^g.

    p = softmax(z), ``[N, C]``. With g below 1, U_n is 1 for a teacher that is certain, and rises to C^(1 - g)
    for one that finds all classes equally likely.

    Defaults: g 0.2, w 4, a 1, as in the authors' example for CIFAR-100 (vgg13 teaches vgg8, there together
    with ``crd``); they choose g and w by pair.

    Paper: Zheng and Yang, "Knowledge distillation based on transformed teacher matching", ICLR 2024.
    """

    class Config(PowerOfTeacher.Config):
        """Hyper-parameters.

        Attributes:
            exponent: g.
            ttm_weight: w.
            ce_weight: a.
        """

        exponent: Temperature = 0.2
        ttm_weight: Weight = 4.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``wttm``."""
        divergence, weight = power_divergence(student.logits, teacher.logits, self.config.exponent)
        return {"wttm": self.config.ttm_weight * (weight * divergence).mean()}
