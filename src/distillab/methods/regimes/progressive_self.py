"""Progressive self-distillation: learn from what one said about the image an epoch ago."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import (
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
    """Progressive self-distillation: mean_n (1 - k) a CE(p_s, y) - k a sum_c p_before[c] log p_s[c].

    p_before ``[N, C]`` are the student's own probabilities for the same images when they were last seen,
    under another view, without gradient; an image that was never seen has its label alone. k = ``trust``
    times the share of the training that is done: the student is believed the more the longer it has
    learned.

    Defaults are the authors': trust 0.8, a 1. The memory holds a probability for every image and class.

    Paper: Kim, Ji, Yoon and Hwang, "Self-knowledge distillation with progressive refinement of targets", ICCV
    2021, equations 3 and 5.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "memory"})
    weighs_labels: ClassVar[bool] = True
    remembers_images: ClassVar[bool] = True
    teacher: ClassVar[TeacherKind] = "none"

    class Config(WeightedConfig):
        """The trust at the end of training, and the weight a (``ce_weight``)."""

        trust: Share = 0.8

    said: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.register_buffer("said", torch.zeros(pair.n_train, pair.student.classes), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``self``."""
        memory = self.said
        ours = in_full_precision(student.logits).log_softmax(1)
        before = memory[batch.positions].to(ours)
        trust = self.config.trust * batch.progress * (before.sum(1) > 0).to(ours)
        own = self.label_loss(student.logits, batch)
        with torch.no_grad():
            memory[batch.positions] = ours.exp().to(memory)
        return {
            "ce": self.config.ce_weight * ((1 - trust) * own).mean(),
            "self": -self.config.ce_weight * (trust * (before * ours).sum(1)).mean(),
        }
