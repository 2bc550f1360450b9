"""From the raw outputs of a detector to boxes, and to embeddings of identities, with NumPy alone.

A copy of this file, ``detections.py``, is in the folder of every exported detector and network for tracking,
where it needs no other file.
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
_EMBEDDING = 32  # numbers in the embedding of an identity
_DISTANCES, _CENTERS = 0, 2  # kinds of code
_LARGEST_GROWTH = np.float32(np.log(1000 / 16))  # of a side of an anchor, in logarithms


def boxes_of_cells(cells: Array, height: int, width: int) -> Array:
    """Return the boxes that a detector finds in each image.

    Boxes are decoded, clipped to the image, and thinned out by non-maximum suppression within each class.

    Args:
        cells: float32 ``[N, A, K + 10]``: for each of A cells the logits of K classes, four numbers that code
            a box, the logit of its quality, its anchor (left, top, right, bottom) and the kind of code: 0 for
            distances from the center of the anchor (FCOS), 1 for offsets of center and sides (RetinaNet). Of
            a network for tracking, float32 ``[N, A, K + 42]``: see :func:`objects_of_cells`.
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
    return objects_of_cells(cells, height, width)[0]


def objects_of_cells(cells: Array, height: int, width: int) -> tuple[Array, Array]:
    """Return the boxes that a network for tracking finds in each image, and their embeddings.

    Boxes are those of :func:`boxes_of_cells`: objects are where the confidence is the highest among the
    neighboring cells.

    Args:
        cells: float32 ``[N, A, K + 42]``: the columns of a detector with the kind of code 2, for offsets of
            center and sides, and before the anchor an embedding of 32 numbers. The cells are those of one
            grid, row by row.
        height: Height of the images in pixels.
        width: Their width.

    Returns:
        The boxes, float32 ``[N, 100, 6]``, and the embedding of each, float32 ``[N, 100, 32]``; of a
        detector, these are 0.

    Example:
        >>> cell = [20.0, 0.0, 0.0, 0.0, 0.0, 0.0, *[1.0, *[0.0] * 31], 0.0, 0.0, 4.0, 4.0, 2.0]
        >>> boxes, looks = objects_of_cells(np.array([[cell]], np.float32), 4, 4)
        >>> boxes[0, 0].tolist(), looks[0, 0, :2].tolist()
        ([0.0, 0.0, 4.0, 4.0, 1.0, 0.0], [1.0, 0.0])
    """
    cells = np.asarray(cells, np.float32)
    found = np.zeros((len(cells), _MOST_BOXES, 6), np.float32)
    found[..., 5] = -1
    looks = np.zeros((len(cells), _MOST_BOXES, _EMBEDDING), np.float32)
    for image, values in enumerate(cells):
        if not np.isfinite(values).all():
            found[image] = np.nan
            continue
        confidences, boxes, embeddings = _decoded(values, height, width)
        kept, places = _thinned(confidences, boxes)
        found[image, : len(kept)] = kept
        if embeddings is not None:
            looks[image, : len(kept)] = embeddings[places]
    return found, looks


def _decoded(values: Array, height: int, width: int) -> tuple[Array, Array, Array | None]:
    """Return confidences ``[A, K]``, boxes ``[A, 4]`` and embeddings ``[A, 32]`` of one image."""
    kind, anchors = values[0, -1], values[:, -5:-1]
    further = _EMBEDDING if kind == _CENTERS else 0
    scores, code, quality, embeddings = np.split(
        values[:, :-5], [-5 - further, -1 - further, values.shape[1] - 5 - further], axis=1
    )
    confidences = _sigmoid(scores)
    sizes, centers = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    if kind == _DISTANCES:
        confidences = np.sqrt(confidences * _sigmoid(quality))
        low, high = centers - code[:, :2] * sizes, centers + code[:, 2:] * sizes
    else:
        middle = centers + code[:, :2] * sizes
        half = sizes * np.exp(np.minimum(code[:, 2:], _LARGEST_GROWTH)) / 2
        low, high = middle - half, middle + half
    limits = np.array([width, height, width, height], np.float32)
    boxes = np.minimum(np.maximum(np.concatenate([low, high], axis=1), 0), limits)
    if kind != _CENTERS:
        return confidences, boxes, None
    return _peaks(confidences, round(float(anchors[:, 2].max() / sizes[0, 0]))), boxes, embeddings


def _peaks(confidences: Array, columns: int) -> Array:
    """Return confidences ``[A, K]`` with 0 wherever one of the eight neighboring cells has more."""
    grid = confidences.reshape(-1, columns, confidences.shape[1])
    rows = len(grid)
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    around = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    found: Array = np.where(grid == np.max(around, axis=0), grid, 0).reshape(confidences.shape)
    return found


def _sigmoid(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
    return found


def _thinned(confidences: Array, boxes: Array) -> tuple[Array, Array]:
    """Return the boxes that remain, ``[n, 6]``, and the cell of each, ``[n]``."""
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
    found = np.concatenate([boxes, scores[:, None], labels[:, None].astype(np.float32)], axis=1)
    return found[kept], cells[kept]
