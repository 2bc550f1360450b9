"""Distillation of the order of probabilities rather than their values."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

_EPSILON = 1e-8


@method("dist", paper="Huang et al., Knowledge distillation from a stronger teacher, NeurIPS 2022")
class CorrelationDistillation(Method):
    """DIST: correlate the student's probabilities with the teacher's, per example and per class.

    a mean_n CE(p_s, y) + w T^2 (beta inter + gamma intra).

    inter = 1 - mean_n r(p_s[n], p_t[n]) compares the classes of each example, and
    intra = 1 - mean_c r(p_s[:, c], p_t[:, c]) the examples of the batch in each class; r is Pearson's
    correlation and p = softmax(z / T) ``[N, C]``. Only the pattern counts: probabilities that are larger or
    more spread out throughout cost nothing.

    Defaults are the paper's for CIFAR-100: beta = gamma = 1, T 4, w 2, a 1 (for ImageNet it uses T 1). T^2
    stands in the paper's program and not in its equations.

    As in the authors' program, 1e-8 is added to the product of norms in r. With many classes and a low T it
    matters: without it, classes whose probability is next to 0 in the whole batch, of which nothing is to be
    learned, decide the gradient of intra.

    Paper: Huang, You, Wang, Qian and Xu, "Knowledge distillation from a stronger teacher", NeurIPS 2022,
    equations 8 to 10.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            beta: Weight of ``inter``.
            gamma: Weight of ``intra``.
            temperature: T.
            dist_weight: w.
            ce_weight: a.
        """

        beta: Weight = 1.0
        gamma: Weight = 1.0
        temperature: Temperature = 4.0
        dist_weight: Weight = 2.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``inter`` and ``intra``."""
        config = self.config
        p_s = (in_full_precision(student.logits) / config.temperature).softmax(dim=1)
        p_t = (in_full_precision(teacher.logits.detach()) / config.temperature).softmax(dim=1)
        scale = config.dist_weight * config.temperature**2
        return {
            "inter": config.beta * scale * (1 - correlation(p_s, p_t).mean()),
            "intra": config.gamma * scale * (1 - correlation(p_s.T, p_t.T).mean()),
        }


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of ``a`` with that of ``b``: ``[N, D]`` both -> ``[N]``.

    0 where a row is constant, as those of a batch of one are in every class, and close to 0 where its
    deviations are far below 1e-8.
    """
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    correlations: Tensor = (a * b).sum(1) / (norms + _EPSILON)
    return correlations
