"""Transfer of class activation maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from distillab.errors import RequestError
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_maps
from distillab.models.outputs import Outputs, OutputShapes


@method("cat_kd", paper="Guo et al., Class attention transfer based knowledge distillation, CVPR 2023")
class ClassAttention(Method):
    """Class attention transfer: match the teacher's class activation maps.

    a mean_n CE(p_s, y) + w mean_ncij (A_s - A_t)^2.

    A ``[N, C, r, r]`` are the class activation maps: the last linear layer applied to every place of the
    last feature maps, averaged over r x r regions and, if ``normalise``, scaled to unit length over them.
    They need no connector, since both networks have the same classes. p_s is the student's softmax.

    Defaults: r 2, not normalized, a 1, and w by pair, as in the authors' program: 0.7 for resnet56 ->
    resnet20, 1.8 for resnet110 -> resnet32, 15 for resnet32x4 -> resnet8x4, 12 for wrn40-2 -> wrn16-2, 1.5
    for wrn40-2 -> wrn40-1. For any other pair w is 0.7, which nobody has chosen for the pair; between
    families the authors have 15 to 600 with normalized maps.

    Limits: whether a last layer reads the pooled maps is inferred from its width. That of pre-activation
    networks (wide ResNets) and transformers with a class token reads something else, and the maps are no
    class maps.

    Paper: Guo, Yan, Li and Lin, "Class attention transfer based knowledge distillation", CVPR 2023.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps", "classifier"})
    pair_defaults: ClassVar[Mapping[tuple[str, str], Mapping[str, float]]] = {
        ("resnet56", "resnet20"): {"cat_weight": 0.7},
        ("resnet110", "resnet32"): {"cat_weight": 1.8},
        ("resnet32x4", "resnet8x4"): {"cat_weight": 15.0},
        ("wrn40-2", "wrn16-2"): {"cat_weight": 12.0},
        ("wrn40-2", "wrn40-1"): {"cat_weight": 1.5},
    }

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            side: r.
            normalise: Whether maps are scaled to unit length.
            cat_weight: w; by pair unless it is stated.
            ce_weight: a.
        """

        side: Annotated[int, Field(ge=1, strict=True)] = 2
        normalise: bool = False
        cat_weight: Weight = 0.7

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        for role, shapes in (("student", pair.student), ("teacher", pair.teacher)):
            if shapes is not None:
                self._check_pooling(role, shapes)
        if pair.teacher is not None and pair.teacher.classes != pair.student.classes:
            raise RequestError(
                f"method {self.name} needs networks of the same classes, not {pair.student.classes} and "
                f"{pair.teacher.classes}",
                allowed="such a teacher, or a method that learns from features",
            )

    def _check_pooling(self, role: str, shapes: OutputShapes) -> None:
        if shapes.maps and shapes.embedding != shapes.maps[-1][0]:
            raise RequestError(
                f"method {self.name} needs a last layer that reads the pooled last maps, and the {role}'s "
                f"takes {shapes.embedding} numbers where the maps have {shapes.maps[-1][0]} channels",
                allowed="a network that ends in global pooling and one linear layer, or at",
            )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``cat``.

        Raises:
            ValueError: A network gives no feature maps or no classifier.
        """
        f_s, f_t = paired_maps(self, student, teacher)[-1]
        if student.classifier is None or teacher.classifier is None:
            raise ValueError(f"method {self.name} needs the classifiers of both networks")
        with torch.no_grad():
            target = self.activation(f_t, teacher.classifier)
        return {"cat": self.config.cat_weight * F.mse_loss(self.activation(f_s, student.classifier), target)}

    def activation(self, features: Tensor, classifier: nn.Linear) -> Tensor:
        """Return A: maps ``[N, D, H, W]`` -> ``[N, classes, r, r]``."""
        weight = in_full_precision(classifier.weight).to(features)
        pooled = adaptive_avg_pool2d(torch.einsum("ndhw,cd->nchw", features, weight), self.config.side)
        return unit_length(pooled) if self.config.normalise else pooled


def unit_length(maps: Tensor) -> Tensor:
    """Return maps ``[N, C, H, W]``, each of unit length over space."""
    return F.normalize(maps.flatten(2), dim=2).view_as(maps)
