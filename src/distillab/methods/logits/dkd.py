"""Distillation with separate weights for the label and for the other classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import decoupled_kl
from distillab.methods.method import Batch, Method, Need, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

_IMAGENET = {"beta": 0.5, "temperature": 1.0, "warmup": 1 / 100}


@method("dkd", paper="Zhao et al., Decoupled knowledge distillation, CVPR 2022")
class DecoupledDistillation(Method):
    """Decoupled distillation: weigh the divergence on the label and on the other classes separately.

    a mean_n CE(p_s, y) + w T^2 mean_n (alpha TCKD + beta NCKD).

    TCKD is the KL divergence between (p_t[y], 1 - p_t[y]) and (p_s[y], 1 - p_s[y]); NCKD that between the
    softmaxes over the classes other than y; p = softmax(z / T). beta = 1 - p_t[y] would give ``kd``.

    Defaults: alpha 1, T 4, a 1, and beta by pair, as in the authors' program: 8 for resnet32x4 -> resnet8x4,
    6 among wide ResNets, 2 for resnet56 or resnet110 -> resnet20 and resnet110 -> resnet32, 0.5 with T 1 for
    resnet34 -> resnet18 of ImageNet: the more confident the teacher, the larger beta. For any other pair beta
    is 8, the default of that program, which nobody has chosen for the pair: compare with smaller ones.

    Deviation: the paper raises w from 1/20 to 1 over the first 20 of its 240 epochs, in steps of an epoch.
    Here w = min(progress / warmup, 1) with ``warmup`` a share of the training, 20/240 unless set, so that a
    training of 20 epochs is not warm-up from end to end.

    TCKD and NCKD are defined for one label: where two examples were mixed, y in them is the one with the
    larger share (the cross-entropy has both).

    Paper: Zhao, Cui, Song, Qiu and Liang, "Decoupled knowledge distillation", CVPR 2022, equation 7.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})
    pair_defaults: ClassVar[Mapping[tuple[str, str], Mapping[str, float]]] = {
        ("resnet32x4", "resnet8x4"): {"beta": 8.0},
        ("wrn40-2", "wrn16-2"): {"beta": 6.0},
        ("wrn40-2", "wrn40-1"): {"beta": 6.0},
        ("resnet56", "resnet20"): {"beta": 2.0},
        ("resnet110", "resnet20"): {"beta": 2.0},
        ("resnet110", "resnet32"): {"beta": 2.0},
        ("torchvision:resnet34", "torchvision:resnet18"): _IMAGENET,
        ("timm:resnet34", "timm:resnet18"): _IMAGENET,
    }

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            alpha: Weight of TCKD.
            beta: Weight of NCKD; by pair unless it is stated.
            temperature: T.
            warmup: Share of the training over which w rises.
            ce_weight: a.
        """

        alpha: Weight = 1.0
        beta: Weight = 8.0
        temperature: Temperature = 4.0
        warmup: Share = 20 / 240

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``tckd`` and ``nckd``."""
        config = self.config
        target, others = decoupled_kl(student.logits, teacher.logits, batch.dominant, config.temperature)
        scale = config.temperature**2 * batch.warmed_up(config.warmup)
        return {
            "tckd": config.alpha * scale * target.mean(),
            "nckd": config.beta * scale * others.mean(),
        }
