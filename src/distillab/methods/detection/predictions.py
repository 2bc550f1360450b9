"""The outputs of a detector as maps, as regions, and as the cells that objects belong to."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.tasks.dense_outputs import DISTANCES, DenseOutputs
from distillab.tasks.detection_losses import assigned_cells, counted_boxes, pairwise_iou

REGION_SIDE = 7
"""Places per side of a region of interest."""


def level_maps(cells: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
    """Return values of cells as one map per level.

    Args:
        cells: float ``[N, A, D]``, level by level, row by row, anchor by anchor.
        grids: Height and width of each level.

    Returns:
        float ``[N, anchors D, H, W]`` per level.

    Example:
        >>> [tuple(each.shape) for each in level_maps(torch.zeros(1, 15, 4), [(2, 2), (1, 1)])]
        [(1, 12, 2, 2), (1, 12, 1, 1)]
    """
    per_place = cells.shape[1] // sum(rows * columns for rows, columns in grids)
    sizes = [rows * columns * per_place for rows, columns in grids]
    return [
        level.reshape(len(cells), rows, columns, -1).permute(0, 3, 1, 2)
        for level, (rows, columns) in zip(torch.split(cells, sizes, dim=1), grids, strict=True)
    ]


def object_regions(maps: Tensor, labels: Tensor, image: tuple[int, int]) -> Tensor:
    """Return a map inside of the boxes of objects, by bilinear sampling: ``[R, C, 7, 7]`` of R boxes.

    Source: He et al., "Mask R-CNN", ICCV 2017 (RoIAlign, as in torchvision, with half-pixel centers).

    Args:
        maps: float ``[N, C, H, W]``.
        labels: The values of :class:`~distillab.data.boxes.Boxes`, float32 ``[N, M, 5]``, in pixels.
        image: Height and width of the images.
    """
    from torchvision.ops import roi_align  # imports torch's compiler, which takes seconds

    is_object = counted_boxes(labels)
    scale = labels.new_tensor([maps.shape[3] / image[1], maps.shape[2] / image[0]]).repeat(2)
    boxes = [
        (each[wanted, 1:5] * scale).to(maps.dtype) for each, wanted in zip(labels, is_object, strict=True)
    ]
    regions: Tensor = roi_align(maps, boxes, REGION_SIDE, sampling_ratio=2, aligned=True)
    return regions


def object_cells(outputs: DenseOutputs, labels: Tensor) -> Tensor:
    """Return which cells a detector learns objects in, bool ``[N, A]``."""
    return assigned_cells(outputs.anchors, outputs.code, labels) >= 0


def response_losses(student: DenseOutputs, teacher: DenseOutputs, cells: Tensor) -> tuple[Tensor, ...]:
    """Return how student and teacher differ in the cells of objects: boxes, quality and classes, as means.

    That is the complete IoU loss between the decoded boxes (Zheng et al., AAAI 2020); the cross-entropy of
    the quality with the teacher's, 0 for a detector without one; and that of softmax(sigmoid(z)) over the
    classes. From both cross-entropies the teacher's entropy is subtracted, which has no gradient, so that
    all are 0 for equal outputs whose boxes have an area.

    Args:
        student: The student's outputs for A cells of N images.
        teacher: The teacher's.
        cells: The cells that are compared, bool ``[N, A]``.
    """
    if not cells.any():
        zero = student.scores.sum() * 0
        return zero, zero, zero
    own, other = student.decoded()[cells], teacher.decoded()[cells]
    boxes = complete_iou_loss(own, other).mean()
    quality = boxes.new_zeros(())
    if student.code == DISTANCES:
        sure = teacher.quality[cells].sigmoid()
        quality = F.binary_cross_entropy_with_logits(
            student.quality[cells], sure
        ) - F.binary_cross_entropy_with_logits(teacher.quality[cells], sure)
    own_log, other_log = (each.scores[cells].sigmoid().log_softmax(dim=1) for each in (student, teacher))
    classes = (other_log.exp() * (other_log - own_log)).sum(dim=1).mean()
    return boxes, quality, classes


def complete_iou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 - CIoU of pairs of boxes: float ``[R, 4]`` both -> ``[R]``.

    CIoU = IoU - d^2 / c^2 - a v: d is the distance of the centers, c the diagonal of the hull, v = 4 / pi^2
    (arctan(w / h) - arctan(w' / h'))^2 the difference of the proportions, a = v / (1 - IoU + v) its weight,
    which gets no gradient. Sides below one pixel count as one in v: a box without area has no proportions.

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020, equations 8 to 11.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        >>> complete_iou_loss(box, box).item(), complete_iou_loss(box, box + 4).item()
        (0.0, 1.25)
    """
    overlap = pairwise_iou(boxes[:, None], wanted[:, None])[:, 0, 0]
    low = torch.minimum(boxes[:, :2], wanted[:, :2])
    high = torch.maximum(boxes[:, 2:], wanted[:, 2:])
    diagonal = (high - low).square().sum(dim=1).clamp(min=1e-9)
    centers = (boxes[:, :2] + boxes[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2
    sides = [(each[:, 2:] - each[:, :2]).clamp(min=1) for each in (boxes, wanted)]
    angles = [(each[:, 0] / each[:, 1]).atan() for each in sides]
    proportions = 4 / math.pi**2 * (angles[0] - angles[1]).square()
    with torch.no_grad():
        weight = proportions / (1 - overlap + proportions).clamp(min=1e-9)
    return 1 - overlap + centers.square().sum(dim=1) / diagonal + weight * proportions
