"""Distillation of every class as a decision of its own."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import bernoulli_kl
from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.methods.needs import OF_WHOLE_EXAMPLES
from distillab.models.outputs import Outputs


@method("bernoulli_kd", paper="Yang et al., Multi-label knowledge distillation, ICCV 2023")
class BernoulliDistillation(Method):
    """Bernoulli distillation: match the teacher's probability of every class, each on its own.

    a mean_n CE(p_s, y) + b T^2 mean_n sum_c KL(s_t[c] || s_s[c]).

    s = sigmoid(z / T), and KL is that of present and absent: s_t log(s_t / s_s) + (1 - s_t) log((1 - s_t) /
    (1 - s_s)). Classes do not compete, so examples with several labels, or none of these, can be learned
    from; with logits ``[N, C]`` of ordinary classifiers it is one against the rest.

    Defaults: T 1, a 1, b 1, chosen here.

    Paper: Yang, Xie, Zong, Feng, Niu, Sugiyama and Huang, "Multi-label knowledge distillation", ICCV 2023,
    its logit term.
    """

    tasks: ClassVar[frozenset[str] | None] = OF_WHOLE_EXAMPLES

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        temperature: Temperature = 1.0
        kd_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        divergence = bernoulli_kl(student.logits, teacher.logits, temperature).sum(1).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}
