"""Self-distillation from the student's outputs of an epoch ago."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import (
    SUPERVISED,
    Batch,
    Method,
    Need,
    Pair,
    Share,
    TeacherKind,
    WeightedConfig,
    method,
)
from distillab.models.outputs import Outputs


@method(
    "progressive_self",
    paper="Kim et al., Self-knowledge distillation with progressive refinement of targets, ICCV 2021",
)
class ProgressiveSelf(Method):
    """Progressive self-distillation: learn from the student's own outputs when the example was last seen.

    mean_n (1 - k) a CE(p_s, y) - k a sum_c p_before[c] log p_s[c].

    p_before ``[N, C]`` are the student's own probabilities for the same examples when they were last seen,
    under another view, without gradient; an example that was never seen has its label alone. k = ``trust``
    times the share of the training that is done: the longer the student has learned, the more its outputs
    count.

    Defaults are the authors': trust 0.8, a 1. The memory holds a probability for every example and class.

    Paper: Kim, Ji, Yoon and Hwang, "Self-knowledge distillation with progressive refinement of targets", ICCV
    2021, equations 3 and 5.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "memory"})
    weighs_labels: ClassVar[bool] = True
    remembers_images: ClassVar[bool] = True
    teacher: ClassVar[TeacherKind] = "none"

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            trust: k at the end of training.
            ce_weight: a.
        """

        trust: Share = 0.8

    memory: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.register_buffer("memory", torch.zeros(pair.n_train, pair.student.classes), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ce`` and ``self``, which share the weights of the examples."""
        log_p = in_full_precision(student.logits).log_softmax(1)
        before = self.memory[batch.positions].to(log_p)
        trust = self.config.trust * batch.progress * (before.sum(1) > 0).to(log_p)
        losses = self.label_loss(student.logits, batch)
        with torch.no_grad():
            self.memory[batch.positions] = log_p.exp().to(self.memory)
        return {
            SUPERVISED: self.config.ce_weight * ((1 - trust) * losses).mean(),
            "self": -self.config.ce_weight * (trust * (before * log_p).sum(1)).mean(),
        }
