"""Distillation by the alpha-beta divergence."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

Exponent = Annotated[float, Field(ge=0, le=10, strict=True)]


@method("abkd", paper="Wang et al., ABKD: pursuing a proper allocation of the probability mass, ICML 2025")
class AlphaBetaDistillation(Method):
    """ABKD: match probabilities by a divergence between the forward and the reverse KL.

    a mean_n CE(p_s, y) + w T^2 mean_n D(p_t, p_s), p = softmax(z / T), ``[N, C]``.

    D = sum_c (p_t^(A + B) / (B (A + B)) + p_s^(A + B) / (A (A + B)) - p_t^A p_s^B / (A B)). A 1 and B 0 give
    KL(p_t || p_s), A 0 and B 1 give KL(p_s || p_t), both by their limits; A and B 0.5 are twice the squared
    distance of the roots of the probabilities. A large A concentrates on the teacher's likely classes, a
    large B on classes that the student finds likely.

    Defaults: A and B 0.5 as in the authors' program for images (0.8 and 0.3 for language models); T 4, a 0.1
    and w 0.9 as in ``kd``, since its settings differ by pair.

    Paper: Wang, Yang, Wang, Wang, Xu and Huang, "ABKD: pursuing a proper allocation of the probability mass
    in knowledge distillation via alpha-beta-divergence", ICML 2025.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            alpha: A.
            beta: B.
            temperature: T.
            kd_weight: w.
            ce_weight: a.
        """

        alpha: Exponent = 0.5
        beta: Exponent = 0.5
        temperature: Temperature = 4.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        config = self.config
        log_s = (in_full_precision(student.logits) / config.temperature).log_softmax(1)
        log_t = (in_full_precision(teacher.logits.detach()) / config.temperature).log_softmax(1)
        divergence = alpha_beta_divergence(log_t, log_s, config.alpha, config.beta).mean()
        return {"kd": config.kd_weight * config.temperature**2 * divergence}


def alpha_beta_divergence(target: Tensor, student: Tensor, alpha: float, beta: float) -> Tensor:
    """Return D of each row, ``[N]``, or its limit where an exponent is 0.

    Args:
        target: Log-probabilities of the teacher, ``[N, C]``.
        student: Those of the student, ``[N, C]``.
        alpha: A, the exponent of the teacher's probabilities.
        beta: B, that of the student's.
    """
    if alpha == 0 and beta == 0:
        return (student - target).square().sum(1) / 2
    if beta == 0:
        return _one_exponent(target, student, alpha)
    if alpha == 0:
        return _one_exponent(student, target, beta)
    both = alpha + beta
    own = (both * target).exp() / (beta * both) + (both * student).exp() / (alpha * both)
    return (own - (alpha * target + beta * student).exp() / (alpha * beta)).sum(1)


def _one_exponent(first: Tensor, second: Tensor, exponent: float) -> Tensor:
    """Return the limit of D of each row where the exponent of the second distribution is 0."""
    powers = (exponent * first).exp()
    ratio = exponent * (first - second)
    return (powers * ratio - powers + (exponent * second).exp()).sum(1) / exponent**2
