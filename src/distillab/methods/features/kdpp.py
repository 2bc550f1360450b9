"""Knowledge distillation that also directs the student's embedding to the mean of its class."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method("kdpp", paper="Wang et al., Regularizing feature norm and direction (KD++), arXiv:2305.17007")
class NormAndDirection(Method):
    """KD++: match the teacher's probabilities, and a long embedding in the direction of the class's mean.

    a mean_n CE(p_s, y) + w(t) b T^2 mean_n KL(p_t || p_s) + g mean_n (1 - s . u_y / max(|s|, |e_t|)).

    p = softmax(z / T), s = W e_s, and e are the embeddings, the inputs of the last linear layers; the trained
    linear layer W is the identity where both networks have one width D. u_y ``[D]`` is the mean of the
    teacher's embeddings of class y, scaled to length 1. The third term is 0 for a student's embedding in that
    direction that is as long as the teacher's, or longer. Where two examples were mixed, y is the label with
    the larger share; that term leaves out examples without a label.

    Defaults are the authors' for resnet56 and resnet20 on CIFAR-100: T 4, b 1, g 2, a 1; they choose b from 1
    to 4 and g from 0.5 to 2 by pair. They raise w from 0 to 1 over the first 20 of 240 epochs; here w =
    min(progress / warmup, 1). They compute u before training, on all training images without augmentation;
    here it is the mean over all views so far.

    Paper: Wang, Cheng, Duan, Wang, Feng and Kong, "Improving knowledge distillation via regularizing feature
    norm and direction", arXiv:2305.17007, 2023.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            kd_weight: b.
            direction_weight: g.
            warmup: Share of the training over which w rises.
            ce_weight: a.
        """

        temperature: Temperature = 4.0
        kd_weight: Weight = 1.0
        direction_weight: Weight = 2.0
        warmup: Share = 20 / 240

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        own, other = (shapes.embedding or 1 for shapes in (pair.student, pair.teacher or pair.student))
        self.embed = nn.Identity() if own == other else nn.Linear(own, other)
        self.means = ClassMeans(pair.student.classes, other)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``kd`` and ``direction``.

        Raises:
            ValueError: A network gives no embedding.
        """
        config = self.config
        rise = batch.warmed_up(config.warmup)
        divergence = self.task.divergence(student.logits, teacher.logits, config.temperature).mean()
        e_s, e_t = paired_embeddings(self, student, teacher)
        return {
            "kd": config.kd_weight * config.temperature**2 * rise * divergence,
            "direction": config.direction_weight * self._direction(self.embed(e_s), e_t, batch.dominant),
        }

    def _direction(self, s: Tensor, e_t: Tensor, labels: Tensor) -> Tensor:
        known = labels >= 0
        s, e_t, labels = s[known], e_t[known], labels[known]
        along = (s * self.means(e_t, labels)).sum(1)
        longest = torch.maximum(s.norm(dim=1), e_t.norm(dim=1)).clamp(min=torch.finfo(s.dtype).tiny)
        total: Tensor = (1 - along / longest).sum()
        return total / max(len(s), 1)


class ClassMeans(nn.Module):
    """Directions of the mean embeddings of classes, over all embeddings so far."""

    sums: Tensor

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(classes, width), persistent=False)

    @torch.no_grad()
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Add embeddings ``[N, D]`` of classes ``[N]``; return the directions of theirs, ``[N, D]``."""
        self.sums = self.sums.index_add(0, labels, embeddings.to(self.sums))
        return F.normalize(self.sums[labels], dim=1).to(embeddings)
