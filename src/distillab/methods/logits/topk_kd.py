"""Distillation from the likeliest classes of the teacher, as caches and shared soft labels keep them."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Temperature, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

_TINY = 1e-30


@method("topk_kd", paper="Shen and Xing, A fast knowledge distillation framework, ECCV 2022")
class TopKDistillation(Method):
    """Top-k distillation: match the teacher's k likeliest classes, the rest spread evenly.

    a mean_n CE(p_s, y) + b T^2 mean_n KL(p_k || p_s).

    p = softmax(z / T), ``[N, C]``, in the second, and p_k is the teacher's p_t for its k likeliest
    classes; what is left of it is spread evenly over the others. With k of all classes, or all but one,
    it is ``kd``. Of equally likely classes the first count.

    Defaults: k 5 and T 1 as the paper keeps for ImageNet, a 0.1, b 0.9 as in ``kd``. A k above the number of
    classes means all of them.

    Paper: Shen and Xing, "A fast knowledge distillation framework for visual recognition", ECCV 2022.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            k: Number of classes that are kept.
            temperature: T.
            kd_weight: b.
            ce_weight: a.
        """

        k: Annotated[int, Field(ge=1, strict=True)] = 5
        temperature: Temperature = 1.0
        kd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``kd``."""
        temperature = self.config.temperature
        p_t = (in_full_precision(teacher.logits.detach()) / temperature).softmax(1)
        target = likeliest(p_t, self.config.k)
        log_p_s = (in_full_precision(student.logits) / temperature).log_softmax(1)
        divergence = (target * (target.clamp(min=_TINY).log() - log_p_s)).sum(1).mean()
        return {"kd": self.config.kd_weight * temperature**2 * divergence}


def likeliest(probabilities: Tensor, k: int) -> Tensor:
    """Return probabilities ``[N, C]`` of which the k largest of a row are kept, and the rest is even."""
    classes = probabilities.shape[1]
    if k >= classes:
        return probabilities
    order = probabilities.argsort(dim=1, descending=True, stable=True)[:, :k]
    kept = probabilities.gather(1, order)
    rest = (1 - kept.sum(1, keepdim=True)).clamp(min=0) / (classes - k)
    return torch.scatter(rest.expand(-1, classes), 1, order, kept)
