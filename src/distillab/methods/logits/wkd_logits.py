"""Distillation by the cost of moving the student's probabilities to the teacher's."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.methods.divergence import in_full_precision
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
from distillab.models.outputs import Outputs

_EPSILON = 1e-8


def late_decay(progress: float, start: float) -> float:
    """Return a weight that is 1 up to a share ``start`` of the training, and falls to 0 by a half cosine."""
    return 1.0 if progress <= start else 0.5 * (1 + math.cos(math.pi * (progress - start) / (1 - start)))


@method(
    "wkd_logits", paper="Lv et al., Wasserstein distance rivals Kullback-Leibler divergence, NeurIPS 2024"
)
class TransportOfProbabilities(Method):
    """WKD-L: move probability between classes at a cost that is low where the teacher finds them similar.

    a mean_n CE(p_s, y) + mean_n (-p_t[y] log p_s[y] + w(t) W(q_s, q_t)).

    p = softmax(z), q that of z / T over the classes other than the label y, ``[N, C - 1]``. W is the sum of
    F[c, d] K[c, d] with K[c, d] = 1 - exp(-sharpness (1 - cos(v_c, v_d))), v the rows of the teacher's last
    layer, and F the transport plan from q_s to q_t after ``iterations`` of Sinkhorn's algorithm, regularized
    by ``regularization``: unlike in a divergence, classes that are alike cost little to confuse. w(t) falls
    to 0 by a half cosine from ``decay`` of the training on. Where two examples were mixed, y is the label
    with the larger share.

    Defaults are the authors' for CIFAR-100: T 8, w 600, regularization 0.05, 10 iterations, sharpness 1,
    decay from 150 of 240 epochs on, a 1.

    Deviation: by default the authors measure how alike classes are by comparing the teacher's features of all
    training examples (CKA); here by the cosine of its last layer's weights, the other choice of their
    program, which needs no pass over the data.

    Paper: Lv, Yang and Li, "Wasserstein distance rivals Kullback-Leibler divergence for knowledge
    distillation", NeurIPS 2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits", "teacher_classifier"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            regularization: Weight of the entropy of the plan.
            iterations: Iterations of Sinkhorn's algorithm.
            sharpness: How fast the cost rises with dissimilarity.
            decay: Share of the training after which w falls.
            transport_weight: w.
            ce_weight: a.
        """

        temperature: Temperature = 8.0
        regularization: Annotated[float, Field(ge=0.02, strict=True)] = 0.05
        iterations: Annotated[int, Field(ge=1, le=1000, strict=True)] = 10
        sharpness: Temperature = 1.0
        decay: Annotated[Share, Field(lt=1)] = 150 / 240
        transport_weight: Weight = 600.0

    costs: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = self.teacher_shapes_of_same_classes()
        last = pair.teacher_classifier or nn.Linear(shapes.embedding or 1, shapes.classes)
        unit = F.normalize(in_full_precision(last.weight.detach()), dim=1)
        costs = 1 - (-config.sharpness * (1 - unit @ unit.T)).exp()
        self.register_buffer("costs", costs.clamp(min=0) + _EPSILON, persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``target`` and ``transport``."""
        config, label = self.config, batch.dominant[:, None]
        z_s, z_t = in_full_precision(student.logits), in_full_precision(teacher.logits.detach())
        target = -(z_t.softmax(1).gather(1, label) * z_s.log_softmax(1).gather(1, label)).mean()
        q_s, q_t = ((z / config.temperature).scatter(1, label, -torch.inf).softmax(1) for z in (z_s, z_t))
        cost = transport_cost(q_s, q_t, self.costs.to(q_s), config.regularization, config.iterations)
        weight = config.transport_weight * late_decay(batch.progress, config.decay)
        return {"target": target, "transport": weight * cost.mean()}


def transport_cost(
    student: Tensor, teacher: Tensor, costs: Tensor, regularization: float, iterations: int
) -> Tensor:
    """Return the cost of the regularized plan from the student's to the teacher's probabilities, ``[N]``.

    Args:
        student: Probabilities ``[N, C]``; a class that is 0 in both takes no part.
        teacher: Probabilities ``[N, C]``.
        costs: Of moving from one class to another, ``[C, C]``, symmetric.
        regularization: Weight of the entropy of the plan.
        iterations: Iterations of Sinkhorn's algorithm.
    """
    kernel = (-costs / regularization).exp()
    taking_part = (student + teacher > 0).to(student)
    u = taking_part / taking_part.sum(1, keepdim=True).clamp(min=1)
    v = u
    for _ in range(iterations):
        v = teacher / (u @ kernel + _EPSILON)
        u = student / (v @ kernel.T + _EPSILON)
    return (u * (v @ (kernel * costs).T)).sum(1)
