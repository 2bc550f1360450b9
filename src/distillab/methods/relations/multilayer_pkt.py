"""Multilayer probabilistic transfer: the same neighbours at every stage, early in training above all."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distillab.methods.method import Batch, Method, Need, Share, Weight, WeightedConfig, method
from distillab.methods.outputs import embeddings, maps
from distillab.methods.relations.pkt import Divergence, Kernel, neighbours_apart
from distillab.models.outputs import Outputs


@method(
    "multilayer_pkt",
    paper="Passalis et al., Heterogeneous knowledge distillation using information flow modeling, CVPR 2020",
)
class MultilayerTransfer(Method):
    """Multilayer transfer: a mean_n CE(p_s, y) + w (P_last + g d^(progress / period) sum_stages P_k).

    P is the loss of ``pkt``, mean_nm D(q_t, q_s), of the embeddings for the last and of the feature maps
    averaged over space, ``[N, C]``, for each pair of stages. What the early layers learn, they learn at
    the beginning: their weight g decays by d a ``period`` of the training. p_s is the student's softmax.

    Defaults are the authors': kernel combined, divergence jeffreys, g 100 times 0.7 an epoch of 50, which
    here is a share of the training; a 1. w 1 is ours.

    Deviation: the authors first make an auxiliary teacher of the student's depth; here stages are paired from
    the deepest backwards, which asks for nothing between.

    Paper: Passalis, Tzelepi and Tefas, "Heterogeneous knowledge distillation using information flow
    modeling", CVPR 2020.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "maps"})

    class Config(WeightedConfig):
        """Kernel, divergence, g (``early_weight``), d (``decay``), its period, w (``pkt_weight``) and a."""

        kernel: Kernel = "combined"
        divergence: Divergence = "jeffreys"
        early_weight: Weight = 100.0
        decay: Share = 0.7
        period: Share = 1 / 50
        pkt_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce``, ``last`` and ``early``. Raises ValueError without what it needs."""
        config = self.config
        last = neighbours_apart(*embeddings(self, student, teacher), config.kernel, config.divergence)
        early = [
            neighbours_apart(ours.mean((2, 3)), theirs.mean((2, 3)), config.kernel, config.divergence)
            for ours, theirs in maps(self, student, teacher)
        ]
        return {
            "last": config.pkt_weight * last,
            "early": config.pkt_weight * self.early_weight(batch.progress) * torch.stack(early).sum(),
        }

    def early_weight(self, progress: float) -> float:
        """The weight of the early stages when a share ``progress`` of the training is done."""
        periods = progress / self.config.period if self.config.period > 0 else 0.0
        weight: float = self.config.early_weight * self.config.decay**periods
        return weight
