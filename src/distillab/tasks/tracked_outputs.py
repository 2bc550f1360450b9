"""What is stored of a network for tracking: the objects that it finds in a frame, and their embeddings."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.data.boxes import NO_BOX
from distillab.tasks.arrays import Logits, Values
from distillab.tasks.dense_outputs import EMBEDDING_SIZE, DenseOutputs
from distillab.tasks.detections import DETECTION_COLUMNS, MOST_DETECTIONS, thinned_boxes

TRACKED_COLUMNS = MOST_DETECTIONS * (DETECTION_COLUMNS + EMBEDDING_SIZE)
"""Numbers that are stored per frame."""


def find_tracked(outputs: Tensor, height: int, width: int) -> Tensor:
    """Return the detections of each image and then their embeddings, float32 ``[N, 100 * 6 + 100 * 32]``.

    Objects are where the confidence is the highest among the neighboring cells. Their boxes are clipped to
    the image and thinned out by non-maximum suppression, as in
    :func:`~distillab.tasks.detections.find_boxes`. Where an output of an image is not finite, no value of it
    is.

    Args:
        outputs: Outputs of a network for tracking, float ``[N, A, K + 42]``.
        height: Height of the images in pixels.
        width: Their width.
    """
    found = DenseOutputs.of(outputs)
    assert found.embedding is not None  # of networks for tracking
    columns = int((found.anchors[:, 2].max() / (found.anchors[0, 2] - found.anchors[0, 0])).round())
    confidences = peaks_of(found.confidences(), columns)
    boxes = found.decoded()
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    kept = boxes.new_zeros(len(outputs), MOST_DETECTIONS, DETECTION_COLUMNS)
    kept[..., 5] = NO_BOX
    embeddings = boxes.new_zeros(len(outputs), MOST_DETECTIONS, EMBEDDING_SIZE)
    for image in range(len(outputs)):
        chosen, cells = thinned_boxes(confidences[image], boxes[image])
        kept[image, : len(chosen)] = chosen
        embeddings[image, : len(chosen)] = found.embedding[image, cells]
    finite = outputs.flatten(1).isfinite().all(dim=1)
    kept[~finite] = torch.nan
    return torch.cat([kept.flatten(1), embeddings.flatten(1)], dim=1)


def peaks_of(confidences: Tensor, columns: int) -> Tensor:
    """Return confidences ``[N, A, K]`` with 0 wherever one of the eight neighboring cells has more.

    Args:
        confidences: Of all cells, row by row.
        columns: Cells per row.

    Example:
        >>> peaks_of(torch.tensor([[[0.1], [0.9], [0.8], [0.2]]]), columns=4).flatten().tolist()
        [0.0, 0.8999999761581421, 0.0, 0.0]
    """
    count, cells, classes = confidences.shape
    grid = confidences.view(count, cells // columns, columns, classes).permute(0, 3, 1, 2)
    highest = F.max_pool2d(grid, 3, stride=1, padding=1)
    found: Tensor = grid * (grid == highest)
    return found.permute(0, 2, 3, 1).reshape(count, cells, classes)


def embeddings_in(stored: Logits) -> Values:
    """Return the embeddings that :func:`find_tracked` returned, float64 ``[N, 100, 32]``."""
    of_embeddings = stored[:, MOST_DETECTIONS * DETECTION_COLUMNS :]
    return np.asarray(of_embeddings, dtype=np.float64).reshape(len(stored), -1, EMBEDDING_SIZE)
