"""Knowledge distillation from softened outputs."""

from __future__ import annotations

from torch import Tensor

from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


class SoftTargets(Method):
    """The loss of :class:`Distillation`, for methods that differ from it in the teacher alone."""

    class Config(WeightedConfig):
        """Hyper-parameters; defaults as in the tables of Tian et al., ICLR 2020.

        Attributes:
            temperature: T.
            ce_weight: a.
            kd_weight: b.
        """

        temperature: Temperature = 4.0
        ce_weight: Weight = 0.1
        kd_weight: Weight = 0.9

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        divergence = self.task.divergence(student.logits, teacher.logits, temperature).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}


@method("kd", paper="Hinton et al., Distilling the knowledge in a neural network, 2015")
class Distillation(SoftTargets):
    """Knowledge distillation: match the teacher's softened probabilities.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_t || p_s), with p = softmax(z / T) in the second.

    T^2 keeps the gradient of the second term at the same scale for all T. The mean is over examples, never
    over classes. In other tasks KL is the task's divergence. Defaults T = 4, a = 0.1, b = 0.9.

    Paper: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
    """
