"""Distillation with separate weights for the label and for the other classes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import decoupled_kl
from distillab.methods.method import Batch, Method, Need, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method("dkd", paper="Zhao et al., Decoupled knowledge distillation, CVPR 2022")
class DecoupledDistillation(Method):
    """Decoupled distillation: weigh the divergence on the label and on the other classes separately.

    a mean_n CE(p_s, y) + w T^2 mean_n (alpha TCKD + beta NCKD).

    TCKD is the KL divergence between (p_t[y], 1 - p_t[y]) and (p_s[y], 1 - p_s[y]); NCKD that between the
    softmaxes over the classes other than y; p = softmax(z / T). beta = 1 - p_t[y] would give ``kd``.

    Defaults are the paper's for resnet32x4 -> resnet8x4: alpha 1, beta 8, T 4, a 1. It uses beta 6 for wide
    ResNets and 2 for resnet56 -> resnet20: the more confident the teacher, the larger beta.

    Deviation: the paper raises w from 1/20 to 1 over the first 20 of its 240 epochs, in steps of an epoch.
    Here w = min(progress / warmup, 1) with ``warmup`` a share of the training, 20/240 unless set, so that a
    training of 20 epochs is not warm-up from end to end.

    TCKD and NCKD are defined for one label: where two examples were mixed, y in them is the one with the
    larger share (the cross-entropy has both).

    Paper: Zhao, Cui, Song, Qiu and Liang, "Decoupled knowledge distillation", CVPR 2022, equation 7.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "every_label"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            alpha: Weight of TCKD.
            beta: Weight of NCKD.
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
        scale = config.temperature**2 * self.warmed_up(batch.progress)
        return {
            "tckd": config.alpha * scale * target.mean(),
            "nckd": config.beta * scale * others.mean(),
        }

    def warmed_up(self, progress: float) -> float:
        """Return the factor w in [0, 1] when a share ``progress`` of the training is done."""
        return min(progress / self.config.warmup, 1.0) if self.config.warmup > 0 else 1.0
