"""What of a detector cosine-guided distillation compares beside the pyramid: objects, towers, predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from distillab.methods.batch import Pair
from distillab.methods.connectors import widen
from distillab.methods.detection.masks import object_masks
from distillab.methods.detection.predictions import level_maps, object_cells, object_regions
from distillab.methods.needs import Need
from distillab.methods.paired_outputs import TensorPair, at_one_size
from distillab.models.outputs import Outputs, OutputShapes, TowerMaps
from distillab.tasks.dense_outputs import DISTANCES, DenseOutputs
from distillab.tasks.detection_losses import focal_loss, generalized_iou_loss
from distillab.tasks.losses import in_full_precision

DetectorPart = Literal["foreground", "background", "regions", "towers", "predictions", "assistant"]
"""What can be compared beside the pyramid."""

ALL_PARTS: tuple[DetectorPart, ...] = get_args(DetectorPart)
_NEEDS: dict[DetectorPart, frozenset[Need]] = {
    "foreground": frozenset({"inputs"}),
    "background": frozenset({"inputs"}),
    "regions": frozenset({"inputs"}),
    "towers": frozenset({"towers"}),
    "predictions": frozenset({"logits"}),
    "assistant": frozenset({"logits", "towers"}),
}
_PRIOR = 0.01  # probability of an object that the initial weights of the branch give


def needs_of_parts(parts: Iterable[DetectorPart]) -> frozenset[Need]:
    """Return what some parts need of networks and batches beside labels and feature maps.

    Example:
        >>> sorted(needs_of_parts(["regions", "towers"]))
        ['inputs', 'towers']
    """
    return frozenset().union(*(_NEEDS[part] for part in parts))


@dataclass(frozen=True)
class ComparedMaps:
    """Two maps that are compared.

    Attributes:
        student: float ``[N, C, H, W]``.
        teacher: float ``[N, C, H, W]``.
        mask: Which places count, 0 or 1, float ``[N, 1, H, W]``; in every image at least one does.
    """

    student: Tensor
    teacher: Tensor
    mask: Tensor


class DetectorParts(nn.Module):
    """What a student's detector learns beside the pyramid, with what is trained for it.

    Args:
        parts: Which parts.
        pair: The networks; both are detectors.
    """

    def __init__(self, parts: Iterable[DetectorPart], pair: Pair) -> None:
        super().__init__()
        self.parts = frozenset(parts)
        self._grids = [(height, width) for _, height, width in pair.student.maps]
        taught = pair.teacher or pair.student
        self.tower_connectors = nn.ModuleList()
        if "towers" in self.parts:
            for own, other in zip(pair.student.towers, taught.towers, strict=True):
                count = min(len(own), len(other))
                widths = zip(own[-count:], other[-count:], strict=True)
                self.tower_connectors.append(nn.ModuleList(widen(s, t, normalize=False) for s, t in widths))
        self.branch = AssistantBranch(pair.student) if "assistant" in self.parts else None

    def compared(
        self,
        maps: Sequence[TensorPair],
        student: Outputs,
        teacher: Outputs,
        labels: Tensor,
        image: tuple[int, int],
    ) -> list[list[ComparedMaps]]:
        """Return groups of maps to be compared: the loss of a group is the mean over its maps.

        Args:
            maps: The levels of both pyramids, with the same channels and sizes.
            student: The student's outputs.
            teacher: The teacher's, without gradient.
            labels: The values of :class:`~distillab.data.boxes.Boxes`, float32 ``[N, M, 5]``, in pixels.
            image: Height and width of the images.
        """
        groups = []
        for part in ("foreground", "background"):
            if part in self.parts:
                groups.append([_masked(*pair, _mask(part, pair[1], labels, image)) for pair in maps])
        if "regions" in self.parts:
            regions = ([object_regions(each, labels, image) for each in pair] for pair in maps)
            groups.append([_whole(own, other) for own, other in regions])
        if "towers" in self.parts:
            towers = zip(self.tower_connectors.children(), student.towers, teacher.towers, strict=True)
            groups += [_layers_of_tower(*tower) for tower in towers]
        if "predictions" in self.parts:
            groups += self._of_predictions(student, teacher)
        kept = ([each for each in group if len(each.student)] for group in groups)
        return [group for group in kept if group]

    def _of_predictions(self, student: Outputs, teacher: Outputs) -> list[list[ComparedMaps]]:
        """Probabilities of the classes, and coded boxes, per level."""
        own, other = DenseOutputs.of(student.logits), DenseOutputs.of(teacher.logits.detach())
        both = ((own.scores.sigmoid(), other.scores.sigmoid()), (own.boxes, other.boxes))
        return [
            [_whole(*maps) for maps in zip(*(level_maps(each, self._grids) for each in pair), strict=True)]
            for pair in both
        ]


class AssistantBranch(nn.Module):
    """A second head on the student's towers that learns from the teacher's predictions alone.

    It has one 3x3 convolution per tower, which all levels share. It belongs to the method: the student that
    is saved does not have it.

    Args:
        shapes: Shapes of the student's outputs.
    """

    def __init__(self, shapes: OutputShapes) -> None:
        super().__init__()
        anchors = shapes.cells // sum(height * width for _, height, width in shapes.maps)
        (classes, boxes) = (tower[-1] for tower in shapes.towers)
        self.classes = nn.Conv2d(classes, anchors * shapes.classes, 3, padding=1)
        self.boxes = nn.Conv2d(boxes, anchors * 4, 3, padding=1)
        for layer in (self.classes, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.classes.bias, -math.log((1 - _PRIOR) / _PRIOR))  # type: ignore[arg-type]

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the classes and that of the boxes, per cell that belongs to an object.

        The classes are those that the teacher gives the cells of objects, with focal loss; of all other cells
        none. Boxes are the teacher's in the cells of objects: generalized IoU loss for distances, absolute
        difference for offsets.
        """
        taught = DenseOutputs.of(teacher.logits.detach())
        cells = object_cells(taught, labels)
        count = cells.sum().clamp(min=1)
        of_classes, of_boxes = (in_full_precision_levels(tower[-1]) for tower in student.towers)
        scores = _cells(of_classes, self.classes, taught.scores.shape[2])
        classes = focal_loss(scores, taught.scores.sigmoid() * cells[..., None]).sum() / count
        coded = _cells(of_boxes, self.boxes, 4)
        if taught.code != DISTANCES:
            return classes, ((coded - taught.boxes).abs().sum(dim=2) * cells).sum() / count
        found = replace(taught, boxes=coded.relu())
        boxes = generalized_iou_loss(found.decoded(), taught.decoded())
        return classes, (boxes * cells).sum() / count


def in_full_precision_levels(levels: Sequence[Tensor]) -> list[Tensor]:
    """Return maps of levels in float32 at least."""
    return [in_full_precision(each) for each in levels]


def _cells(levels: Sequence[Tensor], layer: nn.Conv2d, width: int) -> Tensor:
    """What a convolution gives for the cells of all levels, ``[N, A, width]``."""
    maps = (layer(each) for each in levels)
    return torch.cat([each.permute(0, 2, 3, 1).reshape(len(each), -1, width) for each in maps], dim=1)


def _layers_of_tower(connectors: nn.Module, student: TowerMaps, teacher: TowerMaps) -> list[ComparedMaps]:
    """All levels of the paired layers of a tower; layers are paired from the last one backwards."""
    layers = list(connectors.children())
    found = []
    for connect, own, other in zip(layers, student[-len(layers) :], teacher[-len(layers) :], strict=True):
        for pair in zip(own, other, strict=True):
            f_s, f_t = at_one_size(*in_full_precision_levels(pair))
            found.append(_whole(connect(f_s), f_t.detach()))
    return found


def _mask(part: str, maps: Tensor, labels: Tensor, image: tuple[int, int]) -> Tensor:
    masks = object_masks(labels, grid=(maps.shape[2], maps.shape[3]), image=image)
    return ((masks.foreground if part == "foreground" else masks.background) > 0)[:, None]


def _masked(student: Tensor, teacher: Tensor, mask: Tensor) -> ComparedMaps:
    """Maps of the images in which some place counts: directions of nothing do not differ."""
    kept = mask.flatten(1).any(dim=1)
    return ComparedMaps(student[kept], teacher[kept], mask[kept].to(teacher))


def _whole(student: Tensor, teacher: Tensor) -> ComparedMaps:
    return ComparedMaps(student, teacher, torch.ones_like(teacher[:, :1]))
