"""Transfer of how features change between stages, before the labels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import at_least, paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs


@method("fsp", paper="Yim et al., A gift from knowledge distillation, CVPR 2017")
class SolutionFlow(Method):
    """Flow of the solution procedure: match how features change between stages, then learn the labels.

    w sum_k mean_nij (G_s - G_t)^2 alone over the first ``initial`` of the training, then a mean_n CE(p_s, y)
    alone: the teacher initializes, the labels train.

    G[i, j] ``[N, C_k, C_k+1]`` is the mean over places of the product of channel i of one stage and channel j
    of the next, the larger maps average-pooled to the smaller ones. p_s is the student's softmax. Networks of
    different widths get a trained 1x1 convolution per stage; the paper requires equal ones.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: w 50, a 1, and 30 epochs for 240 of
    training. Deviation: there those 30 come before the 240; here both stages share one training, its schedule
    and its length, so that the plain student has learned for as many steps. The stem is no stage: of a ResNet
    of three stages there are two matrices, not three.

    Paper: Yim, Joo, Bae and Kim, "A gift from knowledge distillation: fast optimization, network minimization
    and transfer learning", CVPR 2017, equations 1 and 2.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            initial: Share of the training without labels.
            fsp_weight: w.
            ce_weight: a.
        """

        initial: Share = 30 / 240
        fsp_weight: Weight = 50.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair) if pair.teacher is None else at_least(2, pair, self.name)
        self.connectors = nn.ModuleList(
            nn.Identity() if shape_s[0] == shape_t[0] else widen(shape_s[0], shape_t[0], normalize=False)
            for shape_s, shape_t in shapes
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``fsp``, 0 after the initial share of the training.

        Raises:
            ValueError: A network gives no feature maps.
        """
        found = paired_maps(self, student, teacher)
        if not self._initial(batch):
            return {"fsp": self.config.fsp_weight * found[0][0].new_zeros(())}
        connected = [connect(f_s) for connect, (f_s, _) in zip(self.connectors, found, strict=True)]
        stages = zip(pairwise(connected), pairwise(f_t for _, f_t in found), strict=True)
        distances = [(flow(*pair_s) - flow(*pair_t)).square().mean() for pair_s, pair_t in stages]
        return {"fsp": self.config.fsp_weight * torch.stack(distances).sum()}

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on the labels, 0 over the initial share of the training."""
        return (0.0 if self._initial(batch) else 1.0) * super().label_term(student, batch)

    def _initial(self, batch: Batch) -> bool:
        return bool(batch.progress < self.config.initial)


def flow(shallow: Tensor, deep: Tensor) -> Tensor:
    """Return G of two stages: ``[N, C, H, W]`` and ``[N, K, h, w]`` -> ``[N, C, K]``."""
    before, after = at_one_size(shallow, deep)
    places = before.shape[2] * before.shape[3]
    return torch.einsum("nchw,nkhw->nck", before, after) / places
