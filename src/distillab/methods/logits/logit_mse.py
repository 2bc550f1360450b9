"""Regression of the teacher's logits."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Weight, WeightedConfig, method
from distillab.methods.needs import OF_WHOLE_EXAMPLES
from distillab.models.outputs import Outputs


@method("logit_mse", paper="Ba and Caruana, Do deep nets really need to be deep?, NIPS 2014")
class LogitRegression(Method):
    """Logit regression: match the teacher's logits, before any softmax.

    a mean_n CE(p_s, y) + b mean_n mean_c (z_s - z_t)^2, with logits z ``[N, C]``.

    The limit of distillation as T grows, but for a constant added to all logits of an example, which counts
    here (Hinton et al., 2015, section 2.1).

    Defaults: a 1, b 1, chosen here; the paper has no labels in its loss.

    Paper: Ba and Caruana, "Do deep nets really need to be deep?", NIPS 2014, equation 1.
    """

    tasks: ClassVar[frozenset[str] | None] = OF_WHOLE_EXAMPLES

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            mse_weight: b.
            ce_weight: a.
        """

        mse_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``mse``."""
        z_t = in_full_precision(teacher.logits.detach())
        return {"mse": self.config.mse_weight * (in_full_precision(student.logits) - z_t).square().mean()}
