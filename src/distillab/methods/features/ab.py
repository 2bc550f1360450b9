"""Transfer of activation boundaries, before the labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_preactivations
from distillab.models.outputs import Outputs


@method("ab", paper="Heo et al., Knowledge transfer via distillation of activation boundaries, AAAI 2019")
class ActivationBoundaries(Method):
    """Activation boundaries: match which units of the teacher are active, then learn the labels.

    w 3/1000 sum_k 2^(k - L) mean_n sum_chw B alone over the first ``initial`` of the training, then a mean_n
    CE(p_s, y) alone: the teacher initializes, the labels train.

    B = (s + m)^2 where the teacher is off (t <= 0) and s > -m, (s - m)^2 where it is on and s <= m, else 0,
    for maps before their ReLU ``[N, C, H, W]``, the student's after a trained 1x1 convolution with batch
    normalization. k counts the L stages from shallow to deep. The larger map is average-pooled to the smaller
    one. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: m 1, w 1, a 1, and 30 epochs for 240 of
    training. Deviation: there those 30 come before the 240; here both stages share one training, its schedule
    and its length, so that the plain student has learned for as many steps.

    Deviation: of pre-activation networks, such as wide ResNets, whose stages end in no ReLU, the maps are the
    sums themselves; the authors take them after the batch normalization that follows.

    Paper: Heo, Lee, Yun and Choi, "Knowledge transfer via distillation of activation boundaries formed by
    hidden neurons", AAAI 2019, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "preactivations"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            margin: m.
            initial: Share of the training without labels.
            ab_weight: w.
            ce_weight: a.
        """

        margin: Weight = 1.0
        initial: Share = 30 / 240
        ab_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        self.connectors = nn.ModuleList(widen(shape_s[0], shape_t[0]) for shape_s, shape_t in shapes)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``ab``, 0 after the initial share of the training.

        Raises:
            ValueError: A network gives no preactivations.
        """
        found = paired_preactivations(self, student, teacher)
        if not self._initial(batch):
            return {"ab": self.config.ab_weight * found[0][0].new_zeros(())}
        stages = len(found)
        parts = [
            2.0 ** (place - stages) * boundary_loss(*at_one_size(connect(f_s), f_t), self.config.margin)
            for place, (connect, (f_s, f_t)) in enumerate(zip(self.connectors, found, strict=True), 1)
        ]
        return {"ab": self.config.ab_weight * (3 / 1000 * torch.stack(parts).sum())}

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on the labels, 0 over the initial share of the training."""
        return (0.0 if self._initial(batch) else 1.0) * super().label_term(student, batch)

    def _initial(self, batch: Batch) -> bool:
        return bool(batch.progress < self.config.initial)


def boundary_loss(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Return the mean over examples of the sum of B: maps ``[N, C, H, W]`` both, a scalar."""
    off = (student + margin).square() * ((student > -margin) & (teacher <= 0))
    on = (student - margin).square() * ((student <= margin) & (teacher > 0))
    return (off + on).sum() / len(student)
