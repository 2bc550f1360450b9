"""From what a model file gives to what a task judges."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.detection_postprocessing import objects_of_cells
from distillab.deploy.graph import logits_from


def judged_outputs(outputs: Items, description: ModelDescription) -> Items:
    """Return what a task judges: logits ``[N, classes]``, or the boxes of a detector, ``[N, 600]``.

    Of a network for tracking, these are boxes and embeddings, ``[N, 3800]``.

    Args:
        outputs: Probabilities ``[N, classes]``, or raw outputs of a detector, float32 ``[N, A, K + 10]``, or
            of a network for tracking, ``[N, A, K + 42]``.
        description: What the model is.
    """
    task, size = description.task_config(), description.network_input
    if not task.dense:
        return logits_from(outputs, task)
    boxes, embeddings = (
        each.reshape(len(outputs), -1) for each in objects_of_cells(outputs, size.height, size.width)
    )
    found: Items = np.concatenate([boxes, embeddings], axis=1) if task.follows else boxes
    return found
