"""Transfer of the distribution of channels over space."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs


@method(
    "nst", paper="Huang and Wang, Like what you like: knowledge distill via neuron selectivity transfer, 2017"
)
class SelectivityTransfer(Method):
    """Neuron selectivity transfer: match the set of spatial patterns of channels, whatever their order.

    a mean_n CE(p_s, y) + w sum_stages MMD^2, mean_n MMD^2 = K(t, t) + K(s, s) - 2 K(s, t).

    K(u, v) is the mean over examples and pairs of channels of (u_i . v_j)^2, with every channel of a
    feature map ``[N, C, H, W]`` laid out over space and scaled to unit length: the squared maximum mean
    discrepancy of the two sets of channels under a polynomial kernel of degree 2 without constant.
    Channels need not agree in number; the larger map is average-pooled to the smaller one. p_s is the
    student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: w 50, a 1, all stages.

    Paper: Huang and Wang, "Like what you like: knowledge distill via neuron selectivity transfer", 2017,
    equation 7.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            nst_weight: w.
            ce_weight: a.
        """

        nst_weight: Weight = 50.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``nst``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        pairs = paired_maps(self, student, teacher)
        discrepancies = torch.stack([discrepancy(*at_one_size(*pair)) for pair in pairs])
        return {"nst": self.config.nst_weight * discrepancies.sum()}


def discrepancy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared discrepancy of sets of channels, a scalar.

    Args:
        student: Maps ``[N, C_s, H, W]``.
        teacher: Maps ``[N, C_t, H, W]``.
    """
    f_s, f_t = (F.normalize(x.flatten(2), dim=2) for x in (student, teacher))
    within = _kernel(f_t, f_t) + _kernel(f_s, f_s)
    return within - 2 * _kernel(f_s, f_t)


def _kernel(u: Tensor, v: Tensor) -> Tensor:
    return (u @ v.mT).square().mean()
