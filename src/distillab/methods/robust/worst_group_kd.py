"""Distillation with weights that follow the worst groups."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import kl_divergence
from distillab.methods.method import (
    SUPERVISED,
    Batch,
    Method,
    Need,
    Pair,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.models.outputs import Outputs


@method(
    "worst_group_kd",
    paper="Sagawa et al., Distributionally robust neural networks for group shifts, ICLR 2020",
)
class WorstGroup(Method):
    """Worst-group distillation: raise the weights of groups on which the student's loss is large.

    sum_g w_g mean_n in g (a CE(p_s, y) + b T^2 KL(p_t || p_s)), p = softmax(z / T) in the second.

    The weights w ``[groups]`` sum to one and follow the losses: after every batch, w_g is multiplied by
    exp(rate L_g) for the groups in it, and these are scaled to the sum that they had; in evaluation mode all
    stay. Groups that a batch lacks contribute nothing and keep their weight; those it has count by their
    weights over their sum. Data without groups take classes for groups.

    Defaults: T 4, a 0.1, b 0.9 as in ``kd``; rate 0.01 as the authors' step size.

    Deviations: the authors draw all groups equally often and scale all weights at every step, by which groups
    that are drawn seldom would lose weight for their absence; they update the weights before they use them,
    and do not scale those of a batch's groups: scaled, the loss keeps its size however many groups a batch
    lacks.

    Paper: Sagawa, Koh, Hashimoto and Liang, "Distributionally robust neural networks for group shifts", ICLR
    2020, algorithm 1, on the loss of distillation.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label", "memory"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits"})
    weighs_labels: ClassVar[bool] = True
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            rate: Step size of the weights.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        rate: Annotated[float, Field(ge=0, le=10, strict=True)] = 0.01
        temperature: Temperature = 4.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    log_shares: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        groups = pair.student.classes if pair.groups is None else int(pair.groups.max()) + 1
        self.register_buffer("log_shares", torch.full((groups,), -math.log(groups)), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``ce`` and ``kd``, which share the weights of the groups."""
        config = self.config
        supervised = config.ce_weight * self.label_loss(student.logits, batch)
        divergence = kl_divergence(student.logits, teacher.logits, config.temperature)
        distilled = config.kd_weight * config.temperature**2 * divergence
        kinds = batch.dominant if self.pair.groups is None or batch.groups is None else batch.groups
        members = torch.nn.functional.one_hot(kinds, len(self.log_shares)).to(supervised)
        sizes = members.sum(0)
        present = self.log_shares.masked_fill(sizes == 0, -torch.inf).softmax(0).to(supervised)
        weights = members @ (present / sizes.clamp(min=1))
        if self.training:
            self._update(((supervised + distilled).detach() @ members) / sizes.clamp(min=1), sizes > 0)
        return {SUPERVISED: (weights * supervised).sum(), "kd": (weights * distilled).sum()}

    @torch.no_grad()
    def _update(self, losses: Tensor, present: Tensor) -> None:
        """Raise the weights of the groups that are present by their losses; their sum stays."""
        together = self.log_shares[present].logsumexp(0)
        raised = self.log_shares[present] + self.config.rate * losses[present].to(self.log_shares)
        self.log_shares[present] = raised.log_softmax(0) + together
