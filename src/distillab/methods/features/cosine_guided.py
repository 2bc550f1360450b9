"""Transfer of feature maps, weighted by how much their directions differ."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.connectors import paired_shapes, widen
from distillab.methods.detection.guided_parts import (
    ALL_PARTS,
    ComparedMaps,
    DetectorPart,
    DetectorParts,
    needs_of_parts,
)
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Requirements,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.paired_outputs import at_one_size, image_size, paired_maps
from distillab.models.outputs import Outputs, attention_map


@method(
    "cosine_guided",
    paper="Park et al., Cosine similarity-guided knowledge distillation, Scientific Reports 2024",
)
class CosineGuided(Method):
    """Cosine-guided distillation: match feature maps where their directions differ from the teacher's.

    a mean_n CE(p_s, y) + mean_stages (u mean_nchw W (s - t)^2 + v (mean 1 - c_ch + mean 1 - c_sp)).

    s are the student's maps ``[N, C, H, W]`` after a trained 1x1 convolution to the teacher's channels, t the
    teacher's. c_ch ``[N, C]`` is the cosine of a channel of both over places, c_sp ``[N, H, W]`` that of a
    place over channels, and W = |(1 - c_ch)(1 - c_sp)| is large where both differ. The larger map is
    average-pooled to the smaller one. What is zero has no direction: its cosine is 0. p_s is the student's
    softmax.

    With ``mask: attention`` only the places count where the teacher is more active than on average. Without
    ``guided`` W is 1; then with v 0 it is the squared difference alone.

    Of detectors the maps are the levels of the pyramid, and ``also`` adds the same two parts for: their
    places inside of boxes (``foreground``), and outside (``background``); the 7x7 regions of the boxes of
    objects on each level (``regions``); the layers of the towers of classes and of boxes, averaged over
    layers and levels (``towers``); the class probabilities and the coded boxes, averaged over levels
    (``predictions``). ``assistant`` adds b times the focal loss, and c times the loss of boxes, of a
    second head on the student's towers that learns the teacher's predictions for the cells of objects; it
    is not part of the student that is evaluated and saved. ``also: all`` is the authors' method.
    Predictions and assistant are for detectors of one kind.

    Defaults: u 1, v 0.5, b 1, c 0.5 as the authors' for most detectors, a 1, no mask, all stages, and of
    detectors the pyramid alone. Layers of towers are paired from the last one backwards.

    Paper: Park et al., "Cosine similarity-guided knowledge distillation for robust object detectors",
    Scientific Reports 2024.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps"})
    later_settings: ClassVar[frozenset[str]] = frozenset(
        {"guided", "also", "assistant_class_weight", "assistant_box_weight"}
    )

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            value_weight: u.
            cosine_weight: v.
            mask: Which places count.
            guided: Whether W weighs the squared differences.
            also: What of a detector is compared beside its pyramid: ``all``, ``nothing``, or a list.
            assistant_class_weight: b.
            assistant_box_weight: c.
            ce_weight: a.
        """

        value_weight: Weight = 1.0
        cosine_weight: Weight = 0.5
        mask: Literal["none", "attention"] = "none"
        guided: bool = True
        also: Literal["nothing", "all"] | tuple[DetectorPart, ...] = "nothing"
        assistant_class_weight: Weight = 1.0
        assistant_box_weight: Weight = 0.5

        @property
        def parts(self) -> tuple[DetectorPart, ...]:
            """What of a detector is compared beside its pyramid."""
            if self.also == "nothing":
                return ()
            return ALL_PARTS if self.also == "all" else self.also

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.connectors = nn.ModuleList(
            widen(shape_s[0], shape_t[0], normalize=False) for shape_s, shape_t in paired_shapes(pair)
        )
        if config.parts and not self.task.dense:
            raise RequestError(
                f"method {self.name} compares {config.parts[0]} of detectors, not in {self.task.name}",
                allowed="also: nothing, or the task detection",
            )
        self.detector = DetectorParts(config.parts, pair) if config.parts else None

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return feature maps, and what the parts of a detector need."""
        needs = cls.needs | needs_of_parts(config.parts)
        return Requirements(needs, needs, cls.teacher)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``values`` and ``cosines``, and ``assistant`` if a detector has one.

        Raises:
            ValueError: A network gives no feature maps.
        """
        config = self.config
        found = [at_one_size(*pair) for pair in paired_maps(self, student, teacher)]
        maps = [(connect(f_s), f_t) for connect, (f_s, f_t) in zip(self.connectors, found, strict=True)]
        groups = [[ComparedMaps(own, other, self.mask(other)) for own, other in maps]]
        terms = {}
        if self.detector:
            image = image_size(self, batch)
            groups += self.detector.compared(maps, student, teacher, batch.labels, image)
            if self.detector.branch:
                classes, boxes = self.detector.branch(student, teacher, batch.labels)
                of_classes, of_boxes = config.assistant_class_weight, config.assistant_box_weight
                terms["assistant"] = of_classes * classes + of_boxes * boxes
        values, cosines = torch.stack([self._mean_losses(group) for group in groups]).sum(0)
        return {"values": config.value_weight * values, "cosines": config.cosine_weight * cosines, **terms}

    def _mean_losses(self, group: list[ComparedMaps]) -> Tensor:
        """The two parts of the loss of a group of maps, ``[2]``: their means over the maps."""
        guided = self.config.guided
        parts = [guided_losses(each.student, each.teacher, each.mask, guided=guided) for each in group]
        return torch.stack([torch.stack(each) for each in parts]).mean(0)

    def mask(self, teacher: Tensor) -> Tensor:
        """Return which places count, 0 or 1: maps ``[N, C, H, W]`` -> ``[N, 1, H, W]``."""
        if self.config.mask == "none":
            return torch.ones_like(teacher[:, :1])
        active = attention_map(teacher)
        return (active >= active.mean((1, 2), keepdim=True)).to(teacher)[:, None]


def guided_losses(
    student: Tensor, teacher: Tensor, mask: Tensor, *, guided: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the two parts of the loss of one stage, as scalars.

    Args:
        student: Maps ``[N, C, H, W]``.
        teacher: Maps ``[N, C, H, W]``.
        mask: Which places count, ``[N, 1, H, W]``.
        guided: Whether differences of the directions weigh those of the values; otherwise all weigh the same.
    """
    across = 1 - F.cosine_similarity((student * mask).flatten(2), (teacher * mask).flatten(2), dim=2)
    along = 1 - F.cosine_similarity(student, teacher, dim=1)
    weight = (across[:, :, None, None] * along[:, None]).abs() * mask if guided else mask
    places = mask.sum().clamp(min=1)
    values = (weight * (student - teacher).square()).sum() / (places * student.shape[1])
    return values, across.mean() + (along * mask[:, 0]).sum() / places
