"""Class attention transfer: look for every class where the teacher looks for it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from distillab.errors import RequestError
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.outputs import maps
from distillab.models.outputs import Outputs, OutputShapes


@method("cat_kd", paper="Guo et al., Class attention transfer based knowledge distillation, CVPR 2023")
class ClassAttention(Method):
    """Class attention: a mean_n CE(p_s, y) + w mean_ncij (A_s - A_t)^2.

    A ``[N, C, r, r]`` are the class activation maps: the last linear layer applied to every place of the
    last feature maps, averaged over r x r regions and, if ``normalise``, scaled to unit length over them.
    They need no connector, since both networks speak of the same classes. p_s is the student's softmax.

    Defaults: r 2, not normalised, w 0.7, a 1 as the authors' for resnet56 -> resnet20; w is 15 for resnet32x4
    -> resnet8x4, and 15 to 600 with normalised maps between families.

    Limits: that a last layer reads the pooled maps is told by its width. Of pre-activation networks (wide
    ResNets) and transformers with a class token it reads something else, and the maps are no class maps.

    Paper: Guo, Yan, Li and Lin, "Class attention transfer based knowledge distillation", CVPR 2023.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps", "classifier"})

    class Config(WeightedConfig):
        """r (``side``), whether to normalise, and the weights w (``cat_weight``) and a (``ce_weight``)."""

        side: Annotated[int, Field(ge=1, strict=True)] = 2
        normalise: bool = False
        cat_weight: Weight = 0.7

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        for role, shapes in (("student", pair.student), ("teacher", pair.teacher)):
            if shapes is not None:
                self._must_pool(role, shapes)
        if pair.teacher is not None and pair.teacher.classes != pair.student.classes:
            raise RequestError(
                f"method {self.name} needs networks of the same classes, not {pair.student.classes} and "
                f"{pair.teacher.classes}",
                allowed="such a teacher, or a method that learns from features",
            )

    def _must_pool(self, role: str, shapes: OutputShapes) -> None:
        if shapes.maps and shapes.embedding != shapes.maps[-1][0]:
            raise RequestError(
                f"method {self.name} needs a last layer that reads the pooled last maps, and the {role}'s "
                f"takes {shapes.embedding} numbers where the maps have {shapes.maps[-1][0]} channels",
                allowed="a network that ends in global pooling and one linear layer, or at",
            )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``cat``. Raises ValueError without what it needs."""
        ours, theirs = maps(self, student, teacher)[-1]
        mine, its = student.classifier, teacher.classifier
        if mine is None or its is None:
            raise ValueError(f"method {self.name} needs the classifiers of both networks")
        with torch.no_grad():
            target = self.activation(theirs, its)
        return {
            "cat": self.config.cat_weight * F.mse_loss(self.activation(ours, mine), target),
        }

    def activation(self, features: Tensor, classifier: nn.Linear) -> Tensor:
        """A: maps ``[N, D, H, W]`` -> ``[N, classes, r, r]``."""
        weight = in_full_precision(classifier.weight).to(features)
        pooled = adaptive_avg_pool2d(torch.einsum("ndhw,cd->nchw", features, weight), self.config.side)
        return unit_length(pooled) if self.config.normalise else pooled


def unit_length(maps: Tensor) -> Tensor:
    """Maps ``[N, C, H, W]``, each of unit length over space."""
    return F.normalize(maps.flatten(2), dim=2).view_as(maps)
