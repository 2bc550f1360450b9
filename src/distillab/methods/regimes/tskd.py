"""Learning from a teacher and from the deepest exit at once, with exits that stay in the student."""

from __future__ import annotations

from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.divergence import in_full_precision
from distillab.methods.kept_exits import ExitsConfig, KeptExits
from distillab.methods.method import Batch, Pair, Requirements, Temperature, Weight, method
from distillab.methods.paired_outputs import at_one_size, paired_maps
from distillab.models.outputs import Outputs


@method(
    "tskd",
    paper="Xu et al., Teacher-student collaborative knowledge distillation for image classification, Applied "
    "Intelligence 53, 2023",
)
class TeacherAndSelf(KeptExits):
    """Teacher and self: every exit of the student learns from the labels, a teacher and the deepest exit.

    sum_k mean_n (a CE(p_k, y) + b T^2 KL(p_t || p_k)) + c sum_k<K T^2 mean_n KL(p_K || p_k)
    + g sum_k<K mean_nd (f_k - f_K)^2 + d mean_nchw (r(F_s) - F_t)^2, with p = softmax(z / T) in the KL terms.

    k goes over the K exits of the student: one at every stage but the last, and its own classifier. An exit
    is average pooling to the size of the last stage, a trained 1x1 convolution with batch normalization to
    its channels, a ReLU, the mean over space, f_k ``[N, D]``, and a linear layer; f_K is the mean over space
    of the last maps. p_K and f_K get no gradient in the third and the fourth term. F are feature maps
    ``[N, C, H, W]`` of one pair of stages, counted from the deepest, and r a trained 1x1 convolution with
    batch normalization; the larger map is average-pooled to the smaller one. The exits are evaluated and
    saved with the student, whose logits are those of the last exit, or with ``vote`` the mean over all exits.
    With d = 0 the teacher's outputs can be cached.

    Defaults: T, a, b as in ``kd``, c 0.1, g 0.1, d 1, ``stage`` 2 as in ``fitnet``. Only T, a and b are taken
    from tables; the weights of the papers could not be read.

    Deviations: the papers' text was not in reach; the loss follows their abstracts (hints and outputs of a
    teacher, a multi-exit student whose deep exit teaches the shallow ones, an ensemble of the exits) with the
    terms of ``kd``, ``fitnet`` and ``multi_exit``. The student that this is compared with is ``exits``, with
    the same exits and the same vote.

    Paper: Xu et al., "Teacher-student collaborative knowledge distillation for image classification", Applied
    Intelligence 53, 2023; Avazov et al., Heliyon 2024, e34376, with AlexNet.
    """

    class Config(ExitsConfig):
        """Hyper-parameters.

        Attributes:
            temperature: T.
            ce_weight: a.
            kd_weight: b.
            self_weight: c.
            feature_weight: g.
            hint_weight: d.
            stage: The stage of the hint, counted from the deepest.
        """

        temperature: Temperature = 4.0
        ce_weight: Weight = 0.1
        kd_weight: Weight = 0.9
        self_weight: Weight = 0.1
        feature_weight: Weight = 0.1
        hint_weight: Weight = 1.0
        stage: Annotated[int, Field(ge=1, strict=True)] = 2

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = paired_shapes(pair)
        self.place = -min(config.stage, max(len(shapes), 1))
        shape_s, shape_t = shapes[self.place] if shapes else (pair.student.maps[-1],) * 2
        self.connector = widen(shape_s[0], shape_t[0]) if config.hint_weight else nn.Identity()

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return what it requires: without a hint, only the logits of the teacher."""
        found = super().requirements(config)
        if config.hint_weight:
            return found
        return Requirements(found.needs, frozenset({"logits", "labels"}), found.teacher)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``exits``, ``kd``, ``self``, ``features`` and ``hint``.

        Raises:
            ValueError: A network gives no feature maps.
        """
        config, temperature = self.config, self.config.temperature
        hinted = paired_maps(self, student, teacher) if config.hint_weight else []
        embeddings, logits = self.exit_outputs(student)
        deepest = in_full_precision(student.maps[-1]).mean((2, 3)).detach()
        every = (*logits, student.logits)
        softened = [self.task.divergence(z, teacher.logits, temperature).mean() for z in every]
        own = [self.task.divergence(z, student.logits, temperature).mean() for z in logits]
        distances = [F.mse_loss(each, deepest) for each in embeddings]
        terms = {
            "exits": config.ce_weight * self.label_losses(logits, batch),
            "kd": config.kd_weight * temperature**2 * sum(softened[1:], softened[0]),
            "self": config.self_weight * temperature**2 * sum(own[1:], own[0]),
            "features": config.feature_weight * sum(distances[1:], distances[0]),
        }
        if hinted:
            f_s, f_t = at_one_size(*hinted[self.place])
            terms["hint"] = config.hint_weight * F.mse_loss(self.connector(f_s), f_t)
        return terms
