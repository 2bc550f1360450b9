"""Soft labels of a network for tracking, of the places that the teacher takes for objects."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distillab.methods.method import Batch, Method, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs
from distillab.tasks.dense_outputs import DenseOutputs
from distillab.tasks.losses import bernoulli_kl


@method(
    "foreground_soft_labels",
    paper="Liang et al., Compressing the multiobject tracking model via knowledge distillation, 2024",
)
class ForegroundSoftLabels(Method):
    """Soft labels of a tracker behind a foreground mask: follow the teacher where it sees objects.

    a mean_n L(s_n, y_n) + b sum m KL(p_t || p_s) / sum m + c sum m |r_t - r_s| / sum m
    + d sum m (1 - cos(e_t, e_s)) / sum m.

    The sums are over the places of all images, with the mask m = 1 where max_c p_t > theta: soft labels of
    the background are of low quality. p are the probabilities of the classes (KL of Bernoulli distributions,
    summed over the classes), r the coded box (mean of four absolute differences), and e the embedding of the
    identity. With ``mask: none`` m is 1 everywhere.

    Defaults: a, b, c and d 1, theta 0.1. The paper's text was not in reach: this is the design of its
    abstract, and formula, weights and threshold are this package's.

    Paper: Liang et al., "Compressing the multiobject tracking model via knowledge distillation", IEEE
    Transactions on Computational Social Systems, 2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"tracking"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            ce_weight: a.
            class_weight: b.
            box_weight: c.
            identity_weight: d.
            threshold: theta.
            mask: Which places count: those of the teacher's foreground, or all.
        """

        class_weight: Weight = 1.0
        box_weight: Weight = 1.0
        identity_weight: Weight = 1.0
        threshold: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.1
        mask: Literal["foreground", "none"] = "foreground"

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``classes``, ``boxes`` and ``identities``."""
        own, other = DenseOutputs.of(student.logits), DenseOutputs.of(teacher.logits.detach())
        assert own.embedding is not None and other.embedding is not None  # of networks for tracking
        mask = (other.confidences().amax(dim=2) > self.config.threshold).to(own.scores)
        if self.config.mask == "none":
            mask = mask.new_ones(mask.shape)
        places = mask.sum().clamp(min=1)
        classes = bernoulli_kl(own.scores, other.scores).sum(dim=2)
        boxes = (other.boxes - own.boxes).abs().mean(dim=2)
        identities = 1 - (other.embedding * own.embedding).sum(dim=2)
        return {
            "classes": self.config.class_weight * (mask * classes).sum() / places,
            "boxes": self.config.box_weight * (mask * boxes).sum() / places,
            "identities": self.config.identity_weight * (mask * identities).sum() / places,
        }
