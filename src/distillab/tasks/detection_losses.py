"""Losses of detectors, per image: FCOS and RetinaNet, and the divergence of one detector from another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.data.boxes import NO_BOX
from distillab.data.targets import UNLABELLED
from distillab.tasks.dense_outputs import CENTERS, DISTANCES, DenseOutputs
from distillab.tasks.losses import bernoulli_kl

CENTER_RADIUS = 1.5
"""Anchor sizes around the center of an object within which cells are responsible for it (FCOS)."""
LEVEL_RANGE = (2.0, 4.0)
"""Anchor sizes between which the largest distance to an edge lies, for a level of FCOS.

The paper's are 4 and 8, for images of 800 pixels; those here are small, and so are the objects in them.
"""
FOREGROUND, BACKGROUND = 0.5, 0.4
"""Overlap (IoU) from which on an anchor of RetinaNet belongs to an object, and below which to none."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
NO_MATCH, BETWEEN = -1, -2
_FAR = torch.finfo(torch.float32).max


def detection_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a detector for each image: focal loss, loss of boxes, and of their quality.

    With the code ``DISTANCES`` it is that of FCOS (Tian et al., ICCV 2019, with generalized IoU and center
    sampling), over the mean number of responsible cells per labelled image of the batch. With ``OFFSETS`` it
    is that of RetinaNet (Lin et al., ICCV 2017), over the number of responsible anchors of the image.

    Args:
        outputs: float ``[N, A, K + 10]``, see :mod:`distillab.tasks.dense_outputs`.
        labels: float32 ``[N, M, 5]``, the values of :class:`~distillab.data.boxes.Boxes`. Boxes that are not
            counted are left out.

    Returns:
        float ``[N]``; 0 for unlabelled images.
    """
    found = DenseOutputs.of(outputs)
    labelled = (labels != UNLABELLED).flatten(1).any(dim=1)
    match = assigned_cells(found.anchors, found.code, labels)
    is_object = match >= 0
    wanted = labels.gather(1, match.clamp(min=0)[..., None].expand(-1, -1, 5))
    classes = F.one_hot(wanted[..., 0].long().clamp(min=0), found.scores.shape[2]) * is_object[..., None]
    loss = focal_loss(found.scores, classes.to(found.scores)).sum(dim=2) * (match != BETWEEN)
    loss = loss.sum(dim=1) + (_box_loss(found, wanted[..., 1:]) * is_object).sum(dim=1)
    responsible = is_object.sum(dim=1).to(loss)
    if found.code == DISTANCES:
        responsible = (responsible * labelled).sum() / labelled.sum().clamp(min=1)
        least = 1 / labelled.sum().clamp(min=1)
        return loss * labelled / torch.maximum(responsible, least)
    return loss * labelled / responsible.clamp(min=1)


def assigned_cells(anchors: Tensor, code: int, labels: Tensor) -> Tensor:
    """Return the box that each cell is responsible for, int64 ``[N, A]``.

    Args:
        anchors: float ``[A, 4]``.
        code: ``DISTANCES`` (rules of FCOS), ``OFFSETS`` (rules of RetinaNet) or ``CENTERS`` (the cell that
            holds the center of an object).
        labels: float32 ``[N, M, 5]``.

    Returns:
        The position of the box among M; -1 for background; -2 for cells that are left out of the loss.
    """
    counted = labels[..., 0] >= 0
    boxes = labels[..., 1:5].to(anchors)
    rules = {DISTANCES: _assigned_by_center, CENTERS: _assigned_at_center}
    return rules.get(code, _assigned_by_overlap)(anchors, boxes, counted)


def center_cells(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return the cell that holds the center of each box, int64 ``[N, M]``; the nearest one beyond the grid.

    Args:
        anchors: The cells, float ``[A, 4]``.
        boxes: float ``[N, M, 4]``.

    Example:
        >>> anchors = torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0]])
        >>> center_cells(anchors, torch.tensor([[[3.0, 0.0, 7.0, 4.0]]]))
        tensor([[1]])
    """
    dx, dy = center_offsets(anchors, (boxes[..., :2] + boxes[..., 2:]) / 2)
    return torch.maximum(dx.abs(), dy.abs()).argmin(dim=2)


def center_offsets(anchors: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far cells are from points ``[N, M, 2]`` in x and in y, in pixels: twice ``[N, M, A]``."""
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    return centers[:, 0] - points[..., :1], centers[:, 1] - points[..., 1:]


def detection_divergence(
    student: Tensor, teacher: Tensor, temperature: float | Tensor, box_weight: float
) -> Tensor:
    """Return the divergence of the outputs of a detector from those of another one, per image.

    sum_a w_a (sum_c KL(s_t[a, c] || s_s[a, c]) + b |r_t[a] - r_s[a]|) / sum_a w_a with s = sigmoid(z / T), r
    the coded box (mean of four), and w_a = max_c sigmoid(z_t[a, c]) the foreground of the teacher: of
    thousands of cells, few hold objects.

    Args:
        student: Outputs, float ``[N, A, K + 10]``.
        teacher: Outputs of the same cells; they get no gradient.
        temperature: T.
        box_weight: b.

    Returns:
        float ``[N]``.
    """
    own, other = DenseOutputs.of(student), DenseOutputs.of(teacher.detach())
    weight = other.scores.sigmoid().amax(dim=2)
    classes = bernoulli_kl(own.scores, other.scores, temperature).sum(dim=2)
    boxes = (own.boxes - other.boxes).abs().mean(dim=2)
    return (weight * (classes + box_weight * boxes)).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the overlap of boxes ``[..., M, 4]`` with boxes ``[..., A, 4]``: IoU, ``[..., M, A]``.

    Example:
        >>> pairwise_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 2, 1], [5.0, 5, 6, 6]]))
        tensor([[0.5000, 0.0000]])
    """
    low = torch.maximum(first[..., :, None, :2], second[..., None, :, :2])
    high = torch.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(dim=-1) for each in (first, second)]
    return shared / (areas[0][..., :, None] + areas[1][..., None, :] - shared).clamp(min=1e-9)


def _assigned_by_center(anchors: Tensor, boxes: Tensor, counted: Tensor) -> Tensor:
    """The smallest object that surrounds the cell, with its center near and a size of the level."""
    sizes = anchors[:, 2] - anchors[:, 0]
    points = (anchors[:, :2] + anchors[:, 2:]) / 2
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = (points[:, None] - centers[:, None]).abs().amax(dim=3) < CENTER_RADIUS * sizes[:, None]
    edges = torch.cat(
        [points[:, None] - boxes[:, None, :, :2], boxes[:, None, :, 2:] - points[:, None]], dim=3
    )
    farthest = edges.amax(dim=3)
    low, high = (factor * sizes for factor in LEVEL_RANGE)
    low = torch.where(sizes == sizes.min(), torch.zeros_like(low), low)
    high = torch.where(sizes == sizes.max(), torch.full_like(high, _FAR), high)
    of_level = (farthest > low[:, None]) & (farthest < high[:, None])
    fits = near & (edges.amin(dim=3) > 0) & of_level & counted[:, None]
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    smallest, match = torch.where(fits, areas[:, None], _FAR).min(dim=2)
    return torch.where(smallest < _FAR, match, NO_MATCH)


def _assigned_at_center(anchors: Tensor, boxes: Tensor, counted: Tensor) -> Tensor:
    """The first object whose center is in the cell."""
    cells = torch.arange(len(anchors), device=anchors.device)
    holds = (center_cells(anchors, boxes)[..., None] == cells) & counted[..., None]
    return torch.where(holds.any(dim=1), holds.int().argmax(dim=1), NO_MATCH)


def _assigned_by_overlap(anchors: Tensor, boxes: Tensor, counted: Tensor) -> Tensor:
    """The object with the largest overlap, if that is large enough or the largest of the object."""
    overlap = pairwise_iou(boxes, anchors.expand(len(boxes), -1, -1)) * counted[..., None]
    largest, best = overlap.max(dim=1)
    match = torch.where(largest < BACKGROUND, NO_MATCH, torch.where(largest < FOREGROUND, BETWEEN, best))
    of_object = overlap.amax(dim=2, keepdim=True)
    needed = ((overlap == of_object) & (of_object > 0)).any(dim=1)
    return torch.where(needed, best, match)


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-a_t (1 - p_t)^g log p_t, elementwise (Lin et al., ICCV 2017, equation 5)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    missing = p * (1 - targets) + (1 - p) * targets
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return alpha * missing.pow(FOCAL_GAMMA) * cross_entropy


def _box_loss(found: DenseOutputs, wanted: Tensor) -> Tensor:
    """The loss of the box of each cell, and of its quality, ``[N, A]``, for the boxes it is to find."""
    if found.code == DISTANCES:
        edges = found.coded(wanted).clamp(min=0)
        pairs = edges[..., [0, 1]], edges[..., [2, 3]]
        ratio = torch.minimum(*pairs) / torch.maximum(*pairs).clamp(min=1e-9)
        quality = F.binary_cross_entropy_with_logits(
            found.quality, ratio.prod(dim=2).sqrt(), reduction="none"
        )
        return generalized_iou_loss(found.decoded(), wanted) + quality
    # Of cells without an object any finite number does: its gradient is multiplied by zero.
    safe = torch.where((wanted[..., 2:] > wanted[..., :2]).all(dim=2, keepdim=True), wanted, found.anchors)
    return (found.boxes - found.coded(safe)).abs().sum(dim=2)


def generalized_iou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - GIoU of pairs of boxes ``[N, A, 4]``: ``[N, A]`` (Rezatofighi et al., CVPR 2019)."""
    shared = _area(
        torch.maximum(boxes[..., :2], wanted[..., :2]), torch.minimum(boxes[..., 2:], wanted[..., 2:])
    )
    hull = _area(
        torch.minimum(boxes[..., :2], wanted[..., :2]), torch.maximum(boxes[..., 2:], wanted[..., 2:])
    )
    union = _area(boxes[..., :2], boxes[..., 2:]) + _area(wanted[..., :2], wanted[..., 2:]) - shared
    return 1 - shared / (union + 1e-7) + (hull - union) / (hull + 1e-7)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(dim=-1)


def counted_boxes(labels: Tensor) -> Tensor:
    """Return which rows of the values of boxes hold one that is to be found, bool ``[N, M]``.

    Example:
        >>> counted_boxes(torch.tensor([[[0.0, 0, 0, 1, 1], [-1, 0, 0, 0, 0], [-2, 0, 0, 1, 1]]]))
        tensor([[ True, False, False]])
    """
    return labels[..., 0] > NO_BOX
