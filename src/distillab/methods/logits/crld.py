"""Consistency across two views of every example."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillab.methods.divergence import in_full_precision, kl_divergence
from distillab.methods.method import Batch, Method, Need, Share, Temperature, Weight, WeightedConfig, method
from distillab.methods.two_views import labels_of_both_views, strong_outputs
from distillab.models.outputs import Outputs


@method("crld", paper="Zhang et al., Cross-view consistency regularisation for distillation, ACM MM 2024")
class CrossViewConsistency(Method):
    """Cross-view consistency: match the teacher within each of two views of an example, and across them.

    a mean_n (CE(p_s, y) + CE(p_s', y)) + v T^2 mean_n k_n (KL(p_t || p_s) + KL(p_t' || p_s'))
    + w T^2 mean_n k_n' (KL(p_t || p_s') + KL(p_t' || p_s)).

    A prime marks the outputs for the strong view; p = softmax(z / T) in the divergences. k_n is 1 where the
    teacher's largest probability for the first view is at least ``sure``, k_n' where that for the strong view
    is at least ``sure_of_strong``, and 0 elsewhere. The strong view is what the recipe's views are followed
    by RandAugment, drawn apart from the first: for images two of its operations at magnitude 10.

    Defaults are the authors' for all pairs: a 1, v 2, w 0.5, T 4, sure 0.9, sure_of_strong 0.2.

    Deviation: the authors draw the magnitude of every operation of RandAugment and cut out a square of the
    result; here the magnitude is fixed, as in its paper, and nothing is cut out.

    Paper: Zhang, Liu, Cai and Ma, "Cross-view consistency regularisation for knowledge distillation", ACM
    Multimedia 2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "strong_view"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            within_weight: v.
            across_weight: w.
            sure: Least confidence of the teacher for which a view is matched.
            sure_of_strong: The same of the strong view, for which the views are matched across.
            ce_weight: a.
        """

        temperature: Temperature = 4.0
        within_weight: Weight = 2.0
        across_weight: Weight = 0.5
        sure: Share = 0.9
        sure_of_strong: Share = 0.2

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the sum over both views of the mean loss on the labels."""
        return labels_of_both_views(self, student, batch)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``within`` and ``across``.

        Raises:
            ValueError: The batch has no strong views.
        """
        config = self.config
        strong_student, strong_teacher = strong_outputs(self, batch)
        z_s, z_s_strong = in_full_precision(student.logits), in_full_precision(strong_student.logits)
        z_t = in_full_precision(teacher.logits.detach())
        z_t_strong = in_full_precision(strong_teacher.logits.detach())
        scale = config.temperature**2

        def distance(first: Tensor, second: Tensor) -> Tensor:
            return kl_divergence(first, second, config.temperature)

        counted = (z_t.softmax(1).amax(1) >= config.sure).to(z_s)
        counted_strong = (z_t_strong.softmax(1).amax(1) >= config.sure_of_strong).to(z_s)
        within = counted * (distance(z_s, z_t) + distance(z_s_strong, z_t_strong))
        across = counted_strong * (distance(z_s_strong, z_t) + distance(z_s, z_t_strong))
        return {
            "within": config.within_weight * scale * within.mean(),
            "across": config.across_weight * scale * across.mean(),
        }
