"""Worst-group distillation: the groups that the student does worst on count ever more."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import kl_divergence, label_loss
from distillab.methods.given import told
from distillab.methods.method import Batch, Method, Need, Pair, Temperature, Weight, method
from distillab.models.outputs import Outputs


@method(
    "worst_group_kd",
    paper="Sagawa et al., Distributionally robust neural networks for group shifts, ICLR 2020",
)
class WorstGroup(Method):
    """Worst-group distillation: the groups that the student does worst on count ever more.

    sum_g w_g mean_n in g (a CE(p_s, y) + b T^2 KL(p_t || p_s)), p = softmax(z / T) in the second.

    The weights w ``[groups]`` sum to one and follow the losses: after every batch, w_g is multiplied by
    exp(rate L_g) for the groups in it, and scaled; in evaluation mode they stay. Groups that a batch lacks
    contribute nothing; the weights of those it has are scaled to sum to one. Data without groups take classes
    for groups.

    Defaults: T 4, a 0.1, b 0.9 as in ``kd``; rate 0.01 as the authors' step size.

    Deviations: the authors update the weights before they use them, and leave those of a batch's groups as
    they are; scaled, the loss keeps its size however many groups a batch lacks.

    Paper: Sagawa, Koh, Hashimoto and Liang, "Distributionally robust neural networks for group shifts", ICLR
    2020, algorithm 1, on the loss of distillation.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label", "memory"})
    asks: ClassVar[frozenset[Need] | None] = frozenset({"logits"})
    weighs_labels: ClassVar[bool] = True

    class Config(Method.Config):
        """The rate, T, and the weights b (``kd_weight``) and a (``ce_weight``)."""

        rate: Annotated[float, Field(ge=0, le=10, strict=True)] = 0.01
        temperature: Temperature = 4.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    shares: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        groups = pair.student.classes if pair.groups is None else int(pair.groups.max()) + 1
        self.register_buffer("shares", torch.full((groups,), 1 / groups), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``kd``. Raises ValueError without a teacher."""
        config = self.config
        own = config.ce_weight * label_loss(student.logits, batch)
        divergence = kl_divergence(student.logits, told(self, teacher).logits, config.temperature)
        taught = config.kd_weight * config.temperature**2 * divergence
        kinds = batch.dominant if self.pair.groups is None or batch.groups is None else batch.groups
        members = torch.nn.functional.one_hot(kinds, len(self.shares)).to(own)
        counts = members.sum(0)
        here = self.shares.to(own) * (counts > 0)
        image_weights = members @ (here / here.sum() / counts.clamp(min=1))
        if self.training:
            self._follow(((own + taught).detach() @ members) / counts.clamp(min=1))
        return {"ce": (image_weights * own).sum(), "kd": (image_weights * taught).sum()}

    @torch.no_grad()
    def _follow(self, losses: Tensor) -> None:
        """Raise the weights of groups by their losses; those that the batch lacks have a loss of 0."""
        raised = self.shares.log() + self.config.rate * losses.to(self.shares)
        self.shares = raised.softmax(0)
