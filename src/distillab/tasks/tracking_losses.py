"""The loss of a network for tracking, per image: centers of objects, their boxes, and their identities."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillab.data.boxes import NO_BOX
from distillab.data.targets import UNLABELLED
from distillab.tasks.dense_outputs import EMBEDDING_SIZE, DenseOutputs
from distillab.tasks.detection_losses import center_cells, center_offsets
from distillab.tasks.mixed_labels import mean_over_labelled

CENTER_FOCUS: Final = 2.0
"""Exponent that lowers the weight of cells that are right already (alpha of CenterNet)."""
NEAR_CENTER: Final = 4.0
"""Exponent that lowers the weight of cells close to a center (beta of CenterNet)."""
SPREAD: Final = 0.09
"""Standard deviation of the peak of an object, in sides of its box (TTFNet)."""
_LEAST_SPREAD = 0.25  # of a cell


def tracking_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a network for tracking for each image, without that of identities.

    The penalty-reduced focal loss of centers (Zhou et al., "Objects as points", 2019, equation 1) and the
    absolute error of the coded box (four numbers) at the center of each object, over the mean number of
    objects per labelled image of the batch. A peak falls off like a Gaussian as wide and high as its box
    demands (Liu et al., TTFNet, AAAI 2020). Places in boxes that are not counted are no background.

    Args:
        outputs: float ``[N, A, K + 42]``, see :mod:`distillab.tasks.dense_outputs`.
        labels: float32 ``[N, M, 6]``, the values of :class:`~distillab.data.tracks.Tracks`.

    Returns:
        float ``[N]``; 0 for unlabelled images.
    """
    found = DenseOutputs.of(outputs)
    classes, boxes = labels[..., 0], labels[..., 1:5].to(found.anchors)
    counted = classes >= 0
    cells = center_cells(found.anchors, boxes)
    peaks = center_peaks(found.anchors, boxes, cells)
    one_hot = F.one_hot(classes.long().clamp(min=0), found.scores.shape[2]) * counted[..., None]
    # [N, A, K], the highest peak of a class at each cell.
    wanted = torch.stack(
        [(peaks * each[..., None]).amax(dim=1) for each in one_hot.to(peaks).unbind(dim=2)], dim=2
    )
    background = ~_within(found.anchors, boxes, classes < NO_BOX)
    loss = (_center_loss(found.scores, wanted) * background[..., None]).sum(dim=(1, 2))
    near = found.boxes.gather(1, cells[..., None].expand(-1, -1, 4))
    errors = (near - _coded(found.anchors[cells], boxes)).abs().sum(dim=2)
    loss = loss + torch.where(counted, errors, 0.0).sum(dim=1)
    return loss * _labelled(labels) / _objects_per_image(labels)


class IdentityLoss(nn.Module):
    """The cross-entropy of the identities of objects, by a linear classifier of their embeddings.

    s log-softmax(W e) with e the embedding of unit length at the center of an object, and the scale s =
    sqrt(2) log(I - 1) for I identities (Zhang et al., FairMOT, IJCV 2021). W starts at zero, so that no
    random number is drawn.

    Args:
        identities: I.
        weight: Weight of the loss.

    Example:
        >>> IdentityLoss(19, weight=0.5).classifier
        Linear(in_features=32, out_features=19, bias=True)
    """

    def __init__(self, identities: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.scale = math.sqrt(2) * math.log(max(identities - 1, 2))
        self.classifier = nn.Linear(EMBEDDING_SIZE, identities)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted loss of each image, ``[N]``, 0 for one without an identity.

        Args:
            outputs: float ``[N, A, K + 42]``.
            labels: float32 ``[N, M, 6]``.
        """
        found = DenseOutputs.of(outputs)
        assert found.embedding is not None  # of networks for tracking
        cells = center_cells(found.anchors, labels[..., 1:5].to(found.anchors))
        embeddings = found.embedding.gather(1, cells[..., None].expand(-1, -1, EMBEDDING_SIZE))
        known = (labels[..., 0] >= 0) & (labels[..., 5] >= 0)
        identities = torch.where(known, labels[..., 5], UNLABELLED).long()
        logits = self.classifier(self.scale * embeddings.to(self.classifier.weight))
        losses = F.cross_entropy(
            logits.flatten(0, 1), identities.flatten(), ignore_index=UNLABELLED, reduction="none"
        )
        total = losses.view_as(identities).sum(dim=1) / _objects_per_image(labels)
        weighted: Tensor = self.weight * mean_over_labelled(lambda _: total, labels, None)
        return weighted


def center_peaks(anchors: Tensor, boxes: Tensor, cells: Tensor) -> Tensor:
    """Return how close each cell is to the center of each box, float ``[N, M, A]``, 1 at its own cell.

    Args:
        anchors: The cells, float ``[A, 4]``.
        boxes: float ``[N, M, 4]``.
        cells: The cell of the center of each box, int64 ``[N, M]``.
    """
    size = anchors[0, 2] - anchors[0, 0]
    spread = (SPREAD * (boxes[..., 2:] - boxes[..., :2])).clamp(min=_LEAST_SPREAD * float(size))
    dx, dy = center_offsets(anchors, ((anchors[:, :2] + anchors[:, 2:]) / 2)[cells])
    return torch.exp(-(dx / spread[..., :1]).square() / 2 - (dy / spread[..., 1:]).square() / 2)


def _within(anchors: Tensor, boxes: Tensor, chosen: Tensor) -> Tensor:
    """Whether each cell is in one of the boxes ``[N, M, 4]`` that are chosen ``[N, M]``, bool ``[N, A]``."""
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    inside = (centers >= boxes[..., None, :2]) & (centers < boxes[..., None, 2:])
    return (inside.all(dim=3) & chosen[..., None]).any(dim=1)


def _center_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """(1 - p)^a log p at centers, (1 - y)^b p^a log(1 - p) elsewhere, negated, elementwise."""
    p = logits.sigmoid()
    at_centers = (1 - p).pow(CENTER_FOCUS) * F.logsigmoid(logits)
    elsewhere = (1 - wanted).pow(NEAR_CENTER) * p.pow(CENTER_FOCUS) * F.logsigmoid(-logits)
    return -torch.where(wanted == 1, at_centers, elsewhere)


def _coded(anchors: Tensor, boxes: Tensor) -> Tensor:
    """The code of boxes ``[N, M, 4]`` for a cell each, ``[N, M, 4]``; finite for those without area."""
    sizes = anchors[..., 2:] - anchors[..., :2]
    offset = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) / 2 / sizes
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    return torch.cat([offset, (sides / sizes).log()], dim=2)


def _labelled(labels: Tensor) -> Tensor:
    return (labels != UNLABELLED).flatten(1).any(dim=1)


def _objects_per_image(labels: Tensor) -> Tensor:
    """The mean number of objects per labelled image, at least one object in all of them."""
    images = _labelled(labels).sum().clamp(min=1)
    return (labels[..., 0] >= 0).sum().clamp(min=1) / images
