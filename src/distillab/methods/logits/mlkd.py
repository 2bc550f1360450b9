"""Multi-level logit distillation: agree on every image, on how images resemble, and on how classes do."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import Batch, Method, Share, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs


@method("mlkd", paper="Jin et al., Multi-level logit distillation, CVPR 2023")
class MultiLevelDistillation(Method):
    """Multi-level distillation: a mean_n CE(p_s, y) + b sum_T (T^2 mean_n KL(p_t || p_s) + B + K).

    p = softmax(z / T), ``[N, C]``. B is the squared difference of the images' similarities p p^T ``[N, N]``,
    over N; K that of the classes' similarities p^T p ``[C, C]``, over C. The mean over images of the first
    counts the ``confident`` share of the batch that the teacher is surest of.

    Defaults: temperatures 2, 3, 4, 5, 6, a 0.1, b 0.9, half of the images, as the authors'.

    Deviations: the paper shows a second, stronger view of every image and adds the same terms for it; twins
    here share one view. In the authors' program the choice of images scales the loss of all by one half; here
    it chooses.

    Paper: Jin, Wang and Lin, "Multi-level logit distillation", CVPR 2023.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """``temperatures``, the weights b (``mlkd_weight``) and a (``ce_weight``), the share of images."""

        temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1, strict=False)] = (
            2.0,
            3.0,
            4.0,
            5.0,
            6.0,
        )
        confident: Share = 0.5
        mlkd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce``, ``images``, ``batch`` and ``classes``. Raises ValueError without a teacher."""
        ours, theirs = (
            in_full_precision(student.logits),
            in_full_precision(teacher.logits.detach()),
        )
        config = self.config
        surest = theirs.softmax(1).amax(1).argsort(descending=True, stable=True)
        chosen = surest[: max(1, round(config.confident * len(ours)))]
        parts = []
        for temperature in config.temperatures:
            divergence = temperature**2 * kl_divergence(ours[chosen], theirs[chosen], temperature).mean()
            parts.append(torch.stack((divergence, *similarities_apart(ours, theirs, temperature))))
        images, in_batch, to_student_classes = config.mlkd_weight * torch.stack(parts).sum(0)
        return {
            "images": images,
            "batch": in_batch,
            "classes": to_student_classes,
        }


def similarities_apart(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """How far similarities of images, and of classes, are apart: logits ``[N, C]`` both, two scalars."""
    p_s, p_t = ((z / temperature).softmax(1) for z in (student, teacher))
    images = (p_t @ p_t.T - p_s @ p_s.T).square().sum() / len(p_s)
    classes = (p_t.T @ p_t - p_s.T @ p_s).square().sum() / p_s.shape[1]
    return images, classes
