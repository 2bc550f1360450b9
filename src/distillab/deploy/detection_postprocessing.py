"""From the raw outputs of a detector to boxes, with NumPy alone.

A copy of this file is in the folder of every exported detector, where it needs no other file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LEAST_CONFIDENCE = 0.05  # below it, nothing counts as found
_MOST_CANDIDATES = 1000  # boxes of an image that enter non-maximum suppression
_LARGEST_OVERLAP = 0.5  # intersection over union of two boxes of one class in an image
_MOST_BOXES = 100  # per image
_LARGEST_GROWTH = np.float32(np.log(1000 / 16))  # of a side of an anchor, in logarithms


def boxes_of_cells(cells: Array, height: int, width: int) -> Array:
    """Return the boxes that a detector finds in each image.

    Boxes are decoded, clipped to the image, and thinned out by non-maximum suppression within each class.

    Args:
        cells: float32 ``[N, A, K + 10]``: for each of A cells the logits of K classes, four numbers that code
            a box, the logit of its quality, its anchor (left, top, right, bottom) and the kind of code: 0 for
            distances from the center of the anchor (FCOS), 1 for offsets of center and sides (RetinaNet).
        height: Height of the images in pixels.
        width: Their width.

    Returns:
        float32 ``[N, 100, 6]``: left, top, right, bottom, confidence and number of the class, the most
        confident first. The class is -1 in rows without a box. Where an output of an image is not finite, no
        value of it is.

    Example:
        >>> cell = [[20.0, 1.0, 1.0, 1.0, 1.0, 20.0, 0.0, 0.0, 8.0, 8.0, 0.0]]
        >>> boxes_of_cells(np.array([cell], np.float32), 16, 16)[0, 0].tolist()
        [0.0, 0.0, 12.0, 12.0, 1.0, 0.0]
    """
    cells = np.asarray(cells, np.float32)
    found = np.zeros((len(cells), _MOST_BOXES, 6), np.float32)
    found[..., 5] = -1
    for image, values in enumerate(cells):
        if not np.isfinite(values).all():
            found[image] = np.nan
            continue
        confidences, boxes = _decoded(values, height, width)
        kept = _thinned(confidences, boxes)
        found[image, : len(kept)] = kept
    return found


def _decoded(values: Array, height: int, width: int) -> tuple[Array, Array]:
    """Return the confidences ``[A, K]`` and the boxes ``[A, 4]`` of one image."""
    scores, code, quality, anchors = np.split(values[:, :-1], [-9, -5, -4], axis=1)
    confidences = _sigmoid(scores)
    sizes, centers = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    if values[0, -1] == 0:
        confidences = np.sqrt(confidences * _sigmoid(quality))
        low, high = centers - code[:, :2] * sizes, centers + code[:, 2:] * sizes
    else:
        middle = centers + code[:, :2] * sizes
        half = sizes * np.exp(np.minimum(code[:, 2:], _LARGEST_GROWTH)) / 2
        low, high = middle - half, middle + half
    limits = np.array([width, height, width, height], np.float32)
    return confidences, np.minimum(np.maximum(np.concatenate([low, high], axis=1), 0), limits)


def _sigmoid(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
    return found


def _thinned(confidences: Array, boxes: Array) -> Array:
    """Return the boxes that remain, ``[n, 6]``."""
    large = np.all(boxes[:, 2:] > boxes[:, :2], axis=1, keepdims=True)
    cells, labels = np.nonzero((confidences > _LEAST_CONFIDENCE) & large)
    order = np.argsort(-confidences[cells, labels], kind="stable")[:_MOST_CANDIDATES]
    cells, labels = cells[order], labels[order]
    boxes, scores = boxes[cells], confidences[cells, labels]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    left = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for place in range(len(boxes)):
        if len(kept) == _MOST_BOXES:
            break
        if not left[place]:
            continue
        kept.append(place)
        sides = np.minimum(boxes[place, 2:], boxes[:, 2:]) - np.maximum(boxes[place, :2], boxes[:, :2])
        shared = np.maximum(sides, 0).prod(axis=1)
        overlaps = shared / (areas[place] + areas - shared)
        left &= (labels != labels[place]) | (overlaps <= _LARGEST_OVERLAP)
    return np.concatenate([boxes, scores[:, None], labels[:, None].astype(np.float32)], axis=1)[kept]
