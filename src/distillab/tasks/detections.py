"""Detections: the boxes that a detector finds in an image, and how they are stored."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.data.boxes import NO_BOX
from distillab.tasks.arrays import Logits
from distillab.tasks.dense_outputs import DenseOutputs

MOST_DETECTIONS: Final = 100
"""Detections per image that are kept, as in COCO."""
DETECTION_COLUMNS: Final = 6
"""Left, top, right, bottom, confidence and class."""
LEAST_CONFIDENCE: Final = 0.05
"""Confidence below which nothing counts as found."""
_MOST_CANDIDATES = 1000
_LARGEST_OVERLAP = 0.5  # IoU of two detections of one class of an image
Detections = npt.NDArray[np.float64]
"""float64 ``[N, 100, 6]``, the most confident first; the class is -1 where there is none."""


def find_boxes(outputs: Tensor, height: int, width: int) -> Tensor:
    """Return the detections of each image, float32 ``[N, 100 * 6]``.

    Boxes are decoded, clipped to the image, and thinned out by non-maximum suppression within each class.
    Where an output of an image is not finite, no value of it is.

    Args:
        outputs: Outputs of a detector, float ``[N, A, K + 10]``.
        height: Height of the images in pixels.
        width: Their width.

    Example:
        >>> from distillab.tasks.dense_outputs import DISTANCES
        >>> anchors = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
        >>> sure, boxes = torch.full((1, 1, 1), 20.0), torch.ones(1, 1, 4)
        >>> made = DenseOutputs(sure, boxes, sure[..., 0], anchors, DISTANCES)
        >>> find_boxes(made.tensor(), 16, 16)[0, :6].tolist()
        [0.0, 0.0, 12.0, 12.0, 1.0, 0.0]
    """
    found = DenseOutputs.of(outputs)
    confidences, boxes = found.confidences(), found.decoded()
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    kept = torch.zeros(
        (len(outputs), MOST_DETECTIONS, DETECTION_COLUMNS), dtype=boxes.dtype, device=boxes.device
    )
    kept[..., 5] = NO_BOX
    for image in range(len(outputs)):
        chosen, _ = thinned_boxes(confidences[image], boxes[image])
        kept[image, : len(chosen)] = chosen
    finite = outputs.flatten(1).isfinite().all(dim=1)
    kept[~finite] = torch.nan
    return kept.flatten(1)


def detections_in(stored: Logits) -> Detections:
    """Return what :func:`find_boxes` returned, float64 ``[N, 100, 6]``; further columns are left out."""
    of_boxes = stored[:, : MOST_DETECTIONS * DETECTION_COLUMNS]
    return np.asarray(of_boxes, dtype=np.float64).reshape(len(stored), -1, DETECTION_COLUMNS)


def thinned_boxes(confidences: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the detections of one image, ``[n, 6]``, and the cell of each, int64 ``[n]``.

    Args:
        confidences: Confidence in each class, ``[A, K]``.
        boxes: The box of each cell, ``[A, 4]``.
    """
    from torchvision.ops import batched_nms

    large = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    cells, labels = torch.nonzero((confidences > LEAST_CONFIDENCE) & large[:, None], as_tuple=True)
    scores, order = confidences[cells, labels].sort(descending=True, stable=True)
    order = order[:_MOST_CANDIDATES]
    scores, cells, labels = scores[:_MOST_CANDIDATES], cells[order], labels[order]
    left = batched_nms(boxes[cells], scores, labels, _LARGEST_OVERLAP)[:MOST_DETECTIONS]
    found = torch.cat([boxes[cells[left]], scores[left, None], labels[left, None].to(scores)], dim=1)
    return found, cells[left]
