"""Distillation with the teacher's probabilities reweighted towards rare classes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Pair, Temperature, Weight, WeightedConfig, method
from distillab.methods.robust.weighting import effective_number_weights, examples_per_class
from distillab.models.outputs import Outputs


@method("balanced_kd", paper="Zhang et al., Balanced knowledge distillation for long-tailed learning, 2021")
class BalancedDistillation(Method):
    """Balanced distillation: match the teacher's probabilities reweighted towards rare classes.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_w || p_s), p = softmax(z / T), ``[N, C]``.

    p_w is the teacher's p_t times a weight for every class, scaled to sum to one again. The weights are
    those of the effective number of samples, (1 - beta) / (1 - beta^n) for a class of n training examples.
    Among equal classes it is ``kd`` with these weights of the terms.

    Defaults are those of the authors' program: T 2, beta 0.9999, a 1, b 1. There p_w is scaled to sum to one,
    and the weights count from the first step, as for CIFAR-100 (for CIFAR-10 after 160 of 200 epochs).

    Paper: Zhang, Chen, Hu and Peng, "Balanced knowledge distillation for long-tailed learning", 2021.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            beta: beta.
            kd_weight: b.
            ce_weight: a.
        """

        temperature: Temperature = 2.0
        beta: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.9999
        kd_weight: Weight = 1.0

    log_weights: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        examples = examples_per_class(pair.labels, pair.student.classes)
        weights = effective_number_weights(examples, config.beta)
        self.register_buffer("log_weights", weights.log(), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        z_t = in_full_precision(teacher.logits.detach()) / temperature
        target = (z_t + self.log_weights.to(z_t)).log_softmax(1)
        log_p_s = (in_full_precision(student.logits) / temperature).log_softmax(1)
        divergence = (target.exp() * (target - log_p_s)).sum(1).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}
