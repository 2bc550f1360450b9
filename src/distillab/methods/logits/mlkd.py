"""Distillation of logits at the level of examples, of the batch and of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, StrictBool
from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Requirements,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.two_views import labels_of_both_views, strong_outputs
from distillab.models.outputs import Outputs


@method("mlkd", paper="Jin et al., Multi-level logit distillation, CVPR 2023")
class MultiLevelDistillation(Method):
    """Multi-level distillation: match probabilities, similarities of examples and similarities of classes.

    a mean_n CE(p_s, y) + b sum_T (T^2 mean_n KL(p_t || p_s) + B + K).

    p = softmax(z / T), ``[N, C]``. B is the squared difference of the examples' similarities p p^T ``[N,
    N]``, over N; K that of the classes' similarities p^T p ``[C, C]``, over C. The mean over examples of the
    first counts all of them, or the ``confident`` share of the batch on which the teacher is least confident.

    Defaults: temperatures 2, 3, 4, 5, 6, a 0.1, b 0.9, as the authors'; all examples.

    With ``strong_view`` it is the authors' whole method: CE and KL count a second, strong view of every
    example as well (all examples at all temperatures), as in the sum of their program; the similarities are
    those of the first view. By default there is one view: half the cost, and the views of the plain student.

    Deviations: of the strong view, their program takes the first view's logits at two of the temperatures.
    RandAugment draws the magnitude of every operation there, and a square of the result is cut out; here the
    magnitude is 10, as in its paper, and nothing is cut out. They multiply the three terms of the first view
    by the mean of a mask that is 1 where the teacher's confidence is at most its median. The terms are means
    already, so the mask chooses nothing and halves them, and the published numbers rest on all examples: here
    all count, with weight 1. A ``confident`` of 0.5 applies the mask to each example.

    Attributes:
        rescale: What the logits of the first term go through; :mod:`logit_standardisation` sets it.

    Paper: Jin, Wang and Lin, "Multi-level logit distillation", CVPR 2023.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    revision: ClassVar[int] = 2
    later_settings: ClassVar[frozenset[str]] = frozenset({"strong_view"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperatures: The values of T.
            strong_view: Whether a strong view of every example counts as well.
            confident: Share of the examples that the first term counts, the least confident first.
            mlkd_weight: b.
            ce_weight: a.
        """

        temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1, strict=False)] = (
            2.0,
            3.0,
            4.0,
            5.0,
            6.0,
        )
        strong_view: StrictBool = False
        confident: Share = 1.0
        mlkd_weight: Weight = 0.9
        ce_weight: Weight = 0.1

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.rescale: Callable[[Tensor], Tensor] = in_full_precision

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return what the method requires: strong views, if they count."""
        usual = super().requirements(config)
        more: frozenset[Need] = frozenset({"strong_view"} if config.strong_view else ())
        return replace(usual, needs=usual.needs | more)

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on the labels, summed over both views if there are two."""
        if self.config.strong_view:
            return labels_of_both_views(self, student, batch)
        return super().label_term(student, batch)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``images``, ``batch`` and ``classes``, and ``strong`` if strong views count.

        Raises:
            ValueError: Strong views count, and the batch has none.
        """
        z_s, z_t = in_full_precision(student.logits), in_full_precision(teacher.logits.detach())
        config = self.config
        order = z_t.softmax(1).amax(1).argsort(stable=True)
        chosen = order[: max(1, round(config.confident * len(z_s)))]
        of_chosen = self.rescale(z_s[chosen]), self.rescale(z_t[chosen])
        parts = []
        for temperature in config.temperatures:
            divergence = temperature**2 * kl_divergence(*of_chosen, temperature).mean()
            parts.append(torch.stack((divergence, *similarity_distances(z_s, z_t, temperature))))
        of_examples, of_batch, of_classes = config.mlkd_weight * torch.stack(parts).sum(0)
        terms = {"images": of_examples, "batch": of_batch, "classes": of_classes}
        return terms | {"strong": self._of_strong(batch)} if config.strong_view else terms

    def _of_strong(self, batch: Batch) -> Tensor:
        """Return the first term for the strong views of all examples."""
        of_student, of_teacher = strong_outputs(self, batch)
        z_s = self.rescale(in_full_precision(of_student.logits))
        z_t = self.rescale(in_full_precision(of_teacher.logits.detach()))
        parts = [T**2 * kl_divergence(z_s, z_t, T).mean() for T in self.config.temperatures]
        weight: float = self.config.mlkd_weight
        return weight * torch.stack(parts).sum()


def similarity_distances(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the squared distances of similarities of examples, and of classes, as two scalars.

    Args:
        student: Logits, float ``[N, C]``.
        teacher: Logits, float ``[N, C]``.
        temperature: What logits are divided by.
    """
    p_s, p_t = ((z / temperature).softmax(1) for z in (student, teacher))
    of_examples = (p_t @ p_t.T - p_s @ p_s.T).square().sum() / len(p_s)
    of_classes = (p_t.T @ p_t - p_s.T @ p_s).square().sum() / p_s.shape[1]
    return of_examples, of_classes
