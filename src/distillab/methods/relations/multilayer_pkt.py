"""Transfer of neighbor probabilities at every stage, early stages early in training."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillab.methods.connectors import at_least
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings, paired_maps
from distillab.methods.relations.pkt import Divergence, Kernel, neighbor_divergence
from distillab.models.outputs import Outputs


@method(
    "multilayer_pkt",
    paper="Passalis et al., Heterogeneous knowledge distillation using information flow modeling, CVPR 2020",
)
class MultilayerTransfer(Method):
    """Multilayer transfer: match the probabilities of neighbors at every stage, early stages first.

    a mean_n CE(p_s, y) + w (P_last + g d^(progress / period) sum_stages P_k).

    P is the loss of ``pkt``, mean_nm D(q_t, q_s), of the embeddings for the last and of the flattened feature
    maps, ``[N, C H W]``, for each pair of stages but the deepest. What the early layers learn, they learn at
    the beginning: their weight g decays by d per ``period`` of the training. p_s is the student's softmax.

    Defaults are the authors': kernel combined, divergence jeffreys, g 100 times 0.7 per epoch of 50, which
    here is a share of the training. w 1 and a 1 are chosen here: the authors use no labels.

    Deviation: the authors first make an auxiliary teacher of the student's depth; here stages are paired from
    the deepest backwards, which requires nothing between.

    Paper: Passalis, Tzelepi and Tefas, "Heterogeneous knowledge distillation using information flow
    modeling", CVPR 2020.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "maps"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            kernel: Kernel of the neighbors.
            divergence: D.
            early_weight: g.
            decay: d.
            period: Share of the training per decay.
            pkt_weight: w.
            ce_weight: a.
        """

        kernel: Kernel = "combined"
        divergence: Divergence = "jeffreys"
        early_weight: Weight = 100.0
        decay: Share = 0.7
        period: Share = 1 / 50
        pkt_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        at_least(2, pair, self.name)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``last`` and ``early``.

        Raises:
            ValueError: A network gives no embedding or no feature maps.
        """
        config = self.config
        embeddings = paired_embeddings(self, student, teacher)
        last = neighbor_divergence(*embeddings, config.kernel, config.divergence)
        early = [
            neighbor_divergence(f_s.flatten(1), f_t.flatten(1), config.kernel, config.divergence)
            for f_s, f_t in paired_maps(self, student, teacher)[:-1]
        ]
        return {
            "last": config.pkt_weight * last,
            "early": config.pkt_weight * self.early_weight(batch.progress) * torch.stack(early).sum(),
        }

    def early_weight(self, progress: float) -> float:
        """Return the weight of the early stages when a share ``progress`` of the training is done."""
        periods = progress / self.config.period if self.config.period > 0 else 0.0
        weight: float = self.config.early_weight * self.config.decay**periods
        return weight
