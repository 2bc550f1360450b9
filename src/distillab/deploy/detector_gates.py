"""Gates of detectors: raw outputs, boxes and AP50 of a file are those of the network, on all of val.

Of networks for tracking, so are embeddings.
"""

from __future__ import annotations

import numpy as np
import torch

from distillab.data.boxes import NO_BOX
from distillab.data.examples import Items
from distillab.data.targets import Targets
from distillab.deploy.description import ModelDescription
from distillab.deploy.gates import (
    BATCHES,
    MOST_DIFFERENCE,
    MOST_DISAGREEMENT,
    GateResult,
    RunFile,
    relative_difference,
)
from distillab.deploy.judged import judged_outputs
from distillab.tasks import Task
from distillab.tasks.dense_outputs import CELL_COLUMNS, EMBEDDING_SIZE
from distillab.tasks.detection_metrics import find_objects
from distillab.tasks.detections import detections_in

_GEOMETRY = 5  # columns of anchor and code, which are the same for all images
_EQUAL_OVERLAP = 0.99  # IoU of two boxes that are the same
_ALIKE_OVERLAP = 0.5  # and of two that are about the same


def gate_cells(
    file: str,
    run: RunFile,
    items: Items,
    reference: Items,
    description: ModelDescription,
    targets: Targets,
) -> list[GateResult]:
    """Return the gates of a file of a detector at every batch size.

    Its boxes come from :func:`boxes_of_cells`, those of the trained network from the code that judged it in
    its study: the two are compared as well.

    Args:
        file: Its name.
        run: Computes the raw outputs of the file.
        items: The validation items as the graph takes them.
        reference: Raw outputs of the trained network, float32 ``[N, A, K + 10]`` or ``[N, A, K + 42]``.
        description: What the detector is.
        targets: The boxes of the validation set.
    """
    task, size = description.task_config(), description.network_input
    wanted = task.to_store(torch.from_numpy(reference), size.height, size.width).numpy()
    score = task.score(wanted, targets)
    results, n = [], len(items)
    for batch in BATCHES:
        cells, _ = run(items, batch)
        found = judged_outputs(cells, description)
        values = {
            "cells": (relative_difference(_varying(cells), _varying(reference)), MOST_DIFFERENCE),
            "geometry": (float(np.abs(_fixed(cells) - _fixed(reference)).max()), 0.0),
            "detections": (differing_detections(found, wanted, _EQUAL_OVERLAP), MOST_DISAGREEMENT),
            **_embedding_gate(cells, reference, task),
            task.primary: (abs(task.score(found, targets) - score), MOST_DISAGREEMENT),
        }
        results += [GateResult(file, gate, batch, n, value, limit) for gate, (value, limit) in values.items()]
    return results


def _embedding_gate(cells: Items, reference: Items, task: Task) -> dict[str, tuple[float, float]]:
    """Return the largest difference in embeddings of identities, which have unit length, and its limit."""
    if not task.follows:
        return {}
    columns = slice(-_GEOMETRY - EMBEDDING_SIZE, -_GEOMETRY)
    differences = np.abs(cells[..., columns] - reference[..., columns])
    return {"embeddings": (float(differences.max()), MOST_DIFFERENCE)}


def differing_detections(stored: Items, other: Items, overlap: float = _ALIKE_OVERLAP) -> float:
    """Return the share of detections of two detectors that only one of them has, weighted by confidence.

    Two are the same if they are of one image and class and overlap enough; each is counted once. 0 if neither
    finds anything.

    Args:
        stored: Detections, ``[N, 600]``.
        other: Others of the same images.
        overlap: IoU from which on two are the same.

    Example:
        >>> one, two = np.array([[0, 0, 4, 4, 0.9, 0]]), np.array([[0, 0, 4, 4, 0.9, 1]])
        >>> differing_detections(one, one), differing_detections(one, two)
        (0.0, 1.0)
    """
    alone = total = 0.0
    for here, there in zip(detections_in(stored), detections_in(other), strict=True):
        for one, two in ((here, there), (there, here)):
            one, two = one[one[:, 5] != NO_BOX], two[two[:, 5] != NO_BOX]
            total += float(one[:, 4].sum())
            for label in np.unique(one[:, 5]):
                mine = one[one[:, 5] == label]
                wanted = two[two[:, 5] == label][:, :4]
                same, _ = find_objects(mine[:, :4], wanted, np.empty((0, 4)), overlap)
                alone += float(mine[~same, 4].sum())
    return alone / total if total else 0.0


def _varying(cells: Items) -> Items:
    """Return what depends on the image: logits, codes and quality, ``[N, A * (K + 5)]``."""
    return cells[..., :-_GEOMETRY].reshape(len(cells), -1)


def _fixed(cells: Items) -> Items:
    """Return anchors and kind of code, ``[N, A, 5]``."""
    assert cells.shape[-1] > CELL_COLUMNS
    return cells[..., -_GEOMETRY:]
