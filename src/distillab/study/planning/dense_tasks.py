"""What studies of detectors cannot have, refused before anything is trained."""

from __future__ import annotations

from distillab.errors import RequestError
from distillab.models import OutputShapes
from distillab.models.registry import DETECTORS, TRACKING_NETWORKS
from distillab.study.spec.study import StudySpec
from distillab.tasks import Task


def must_suit_dense(spec: StudySpec, task: Task) -> None:
    """Raise RequestError if a study of detectors asks for what only classifiers have."""
    if not task.dense:
        return
    if spec.explain is not None:
        raise RequestError(
            "attribution maps are about the class of a whole image",
            where=f"{spec.where}: explain",
            allowed=f"no maps in the task {task.name}",
        )
    if "external" in spec.teacher.provenance:
        raise RequestError(
            "a detector is not taken from a file",
            where=f"{spec.where}: teacher",
            allowed="a teacher that the study trains (provenance: full or same)",
        )


def must_fit_task(task: Task, shapes: OutputShapes, role: str) -> None:
    """Raise RequestError if a network finds objects and the task is about whole examples, or vice versa.

    Args:
        task: The task.
        shapes: Shapes of the outputs of the network.
        role: The key of a study that names the network.
    """
    if task.dense and not (shapes.cells and shapes.identities == task.follows):
        needed, names = (
            ("networks for tracking", TRACKING_NETWORKS) if task.follows else ("detectors", DETECTORS)
        )
        raise RequestError(
            f"the task {task.name} needs {needed}", where=role, allowed=", ".join(sorted(names))
        )
    if shapes.cells and not task.dense:
        raise RequestError(
            f"a detector cannot serve the task {task.name}",
            where=role,
            allowed=f"task: {'tracking' if shapes.identities else 'detection'}, or another network",
        )
