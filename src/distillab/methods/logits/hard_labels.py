"""Distillation from the teacher's predictions, as labels."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method("hard_labels", paper="Touvron et al., Training data-efficient image transformers, ICML 2021")
class HardLabels(Method):
    """Hard labels: learn the class that the teacher predicts, along with the label.

    a mean_n CE(p_s, y) + b mean_n CE(p_s, argmax_c z_t).

    z_t are the teacher's logits ``[N, C]``. With a 0 and b 1, ``{hard_labels: {ce_weight: 0, hard_weight:
    1}}``, it is plain training on the teacher's labels: under label noise the control that shows whether a
    gain comes from soft targets, or from labels that the teacher has corrected.

    Defaults are the authors': a 0.5, b 0.5.

    Deviation: the authors learn the second term with a second last layer, on a token of its own, and average
    both layers' predictions; here one last layer learns both, so that any student serves and its size stays
    that of the plain student.

    Paper: Touvron, Cord, Douze, Massa, Sablayrolles and Jegou, "Training data-efficient image transformers
    and distillation through attention", ICML 2021, equation 3.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            hard_weight: b.
            ce_weight: a.
        """

        hard_weight: Weight = 0.5
        ce_weight: Weight = 0.5

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``hard``."""
        predicted = teacher.logits.detach().argmax(1)
        loss = F.cross_entropy(in_full_precision(student.logits), predicted)
        return {"hard": self.config.hard_weight * loss}
