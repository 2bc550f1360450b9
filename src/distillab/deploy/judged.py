"""From what a model file gives to what a task judges."""

from __future__ import annotations

from distillab.data.examples import Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.detection_postprocessing import boxes_of_cells
from distillab.deploy.graph import logits_from


def judged_outputs(outputs: Items, description: ModelDescription) -> Items:
    """Return what a task judges: logits ``[N, classes]``, or the boxes of a detector, ``[N, 600]``.

    Args:
        outputs: Probabilities ``[N, classes]``, or raw outputs of a detector, float32 ``[N, A, K + 10]``.
        description: What the model is.
    """
    task, size = description.task_config(), description.network_input
    if not task.dense:
        return logits_from(outputs, task)
    boxes: Items = boxes_of_cells(outputs, size.height, size.width).reshape(len(outputs), -1)
    return boxes
