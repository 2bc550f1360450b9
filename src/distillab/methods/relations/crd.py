"""Contrastive transfer against a memory of all examples."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.data.targets import UNLABELLED
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

_EPSILON = 1e-7


@method("crd", paper="Tian et al., Contrastive representation distillation, ICLR 2020")
class ContrastiveDistillation(Method):
    """Contrastive distillation: discriminate the teacher's embedding of an example from those of others.

    a mean_n CE(p_s, y) - w mean_n (log h(+) + sum_k log(1 - h(k))), both ways.

    h(m) = g / (g + K / M), g = exp(v . m / tau) / Z, is the probability that m is the other network's
    embedding of v's own example rather than one of K others. v is the output of a trained linear layer on an
    embedding ``[N, D]``: ``width`` numbers of unit length; m stands in a memory of the last v of all M
    training examples, one memory for each network. The others are drawn at random from examples of other
    classes, for an example without a label from all but itself. Z is fixed by the first batch, as the mean of
    exp(v . m / tau) times M. All is computed of logarithms, so that no tau overflows. p_s is the student's
    softmax.

    Defaults as in the authors' program: tau 0.07, momentum of the memory 0.5, width 128, K 16384 or all
    examples if there are fewer, w 0.8, a 1.

    Deviation: they draw K others for every example, which costs more than all else; here the examples of a
    batch share their draw, and each leaves out those of its own class.

    Paper: Tian, Krishnan and Isola, "Contrastive representation distillation", ICLR 2020, equations 17
    and 18.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "memory"})
    remembers_images: ClassVar[bool] = True
    revision: ClassVar[int] = 2
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            negatives: K.
            temperature: tau.
            momentum: Momentum of the memory.
            width: Outputs of the linear layers.
            crd_weight: w.
            ce_weight: a.
        """

        negatives: Annotated[int, Field(ge=1, strict=True)] = 16384
        temperature: Temperature = 0.07
        momentum: Share = 0.5
        width: Annotated[int, Field(ge=1, strict=True)] = 128
        crd_weight: Weight = 0.8

    labels: Tensor
    student_memory: Tensor
    teacher_memory: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        teacher = pair.student if pair.teacher is None else pair.teacher
        self.embed = nn.ModuleList(
            nn.Linear(width or 1, config.width) for width in (pair.student.embedding, teacher.embedding)
        )
        labels = torch.zeros(pair.n_train, dtype=torch.long) if pair.labels is None else pair.labels
        self.register_buffer("labels", labels, persistent=False)
        for name in ("student_memory", "teacher_memory"):
            memory = F.normalize(torch.randn(pair.n_train, config.width), dim=1)
            self.register_buffer(name, memory, persistent=False)
        self.log_scales: dict[int, float] = {}

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``crd``.

        Raises:
            ValueError: A network gives no embedding.
        """
        pair = paired_embeddings(self, student, teacher)
        v_s, v_t = (F.normalize(embed(x), dim=1) for embed, x in zip(self.embed, pair, strict=True))
        others = torch.randperm(len(self.labels), device=self.labels.device)[: self.config.negatives]
        loss = self._contrast(0, v_s, self.teacher_memory, others, batch.positions)
        loss = loss + self._contrast(1, v_t, self.student_memory, others, batch.positions)
        self._remember(self.student_memory, v_s, batch.positions)
        self._remember(self.teacher_memory, v_t, batch.positions)
        return {"crd": self.config.crd_weight * loss}

    def _contrast(self, way: int, v: Tensor, memory: Tensor, others: Tensor, own: Tensor) -> Tensor:
        """Return the loss one way: v ``[N, width]`` against a memory ``[M, width]``; a scalar."""
        temperature, count = self.config.temperature, len(memory)
        same = (v * memory[own]).sum(1) / temperature
        different = v @ memory[others].T / temperature
        counted = self._other_classes(own, others)
        if way not in self.log_scales:
            first = torch.cat((same, different[counted])).detach()
            self.log_scales[way] = math.log(count / len(first)) + first.logsumexp(0).item()
        log_same, log_others = same - self.log_scales[way], different - self.log_scales[way]
        noise = (counted.sum(1) / count).to(v)
        log_rest = (noise + _EPSILON).log()
        hit = log_same - torch.logaddexp(log_same, log_rest)
        miss = noise.log()[:, None] - torch.logaddexp(log_others, log_rest[:, None])
        losses: Tensor = -(hit + torch.where(counted, miss, 0.0).sum(1))
        return losses.mean()

    def _other_classes(self, own: Tensor, others: Tensor) -> Tensor:
        """Return which others each example is discriminated from, bool ``[N, others]``, both as positions."""
        labels = self.labels[own][:, None]
        different = (labels != self.labels[others][None]) | (labels == UNLABELLED)
        return different & (own[:, None] != others[None])

    @torch.no_grad()
    def _remember(self, memory: Tensor, v: Tensor, own: Tensor) -> None:
        kept = self.config.momentum * memory[own] + (1 - self.config.momentum) * v
        memory[own] = F.normalize(kept, dim=1)
