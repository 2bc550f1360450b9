"""Flow of the solution procedure: how features change from one stage to the next."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import at_least, paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.outputs import at_one_size, maps
from distillab.models.outputs import Outputs


@method("fsp", paper="Yim et al., A gift from knowledge distillation, CVPR 2017")
class SolutionFlow(Method):
    """Flow of the solution procedure: how features change from one stage to the next.

    w sum_k mean_nij (G_s - G_t)^2 alone over the first ``initial`` of the training, then a mean_n CE(p_s, y)
    alone: the teacher initialises, the labels train.

    G[i, j] ``[N, C_k, C_k+1]`` is the mean over places of the product of channel i of one stage and channel j
    of the next, the larger maps average-pooled to the smaller ones. p_s is the student's softmax. Networks of
    different widths get a trained 1x1 convolution a stage; the paper asks for equal ones.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: w 50, a 1, and 30 epochs for 240 of
    training. Deviation: there those 30 come before the 240; here both stages share one training, its schedule
    and its length, so that the plain twin has learned for as many steps. The stem is no stage: of a ResNet of
    three stages there are two matrices, not three.

    Paper: Yim, Joo, Bae and Kim, "A gift from knowledge distillation: fast optimization, network minimization
    and transfer learning", CVPR 2017, equations 1 and 2.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """The share of training at first, and the weights w (``fsp_weight``) and a (``ce_weight``)."""

        initial: Share = 30 / 240
        fsp_weight: Weight = 50.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair) if pair.teacher is None else at_least(2, pair, self.name)
        self.connectors = nn.ModuleList(
            nn.Identity() if ours[0] == theirs[0] else widen(ours[0], theirs[0], normalise=False)
            for ours, theirs in shapes
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``fsp``. Raises ValueError without a teacher or maps."""
        found = maps(self, student, teacher)
        apart = found[0][0].new_zeros(())
        if self._initial(batch):
            ours = [connect(pair[0]) for connect, pair in zip(self.connectors, found, strict=True)]
            flows = zip(pairwise(ours), pairwise(theirs for _, theirs in found), strict=True)
            apart = torch.stack([(flow(*mine) - flow(*its)).square().mean() for mine, its in flows]).sum()
        return {
            "fsp": self.config.fsp_weight * apart,
        }

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on the labels; 0 at first."""
        return (0.0 if self._initial(batch) else 1.0) * super().label_term(student, batch)

    def _initial(self, batch: Batch) -> bool:
        return bool(batch.progress < self.config.initial)


def flow(shallow: Tensor, deep: Tensor) -> Tensor:
    """G of two stages: ``[N, C, H, W]`` and ``[N, K, h, w]`` -> ``[N, C, K]``."""
    before, after = at_one_size(shallow, deep)
    places = before.shape[2] * before.shape[3]
    return torch.einsum("nchw,nkhw->nck", before, after) / places
