"""What methods share that compare two views of every example."""

from __future__ import annotations

from torch import Tensor

from distillab.methods.method import Batch, Method
from distillab.models.outputs import Outputs


def strong_outputs(method: Method, batch: Batch) -> tuple[Outputs, Outputs]:
    """Return the outputs of student and teacher for the strong views.

    Raises:
        ValueError: The batch has no strong views, or there is no teacher.
    """
    if batch.strong is None or batch.strong.teacher is None:
        raise ValueError(f"method {method.name} needs the outputs of both networks for strong views")
    return batch.strong.student, batch.strong.teacher


def labels_of_both_views(method: Method, student: Outputs, batch: Batch) -> Tensor:
    """Return the sum over both views of the mean loss on the labels, a scalar.

    Raises:
        ValueError: The batch has no strong views.
    """
    if batch.strong is None:
        raise ValueError(f"method {method.name} needs the outputs of the student for strong views")
    first = method.label_loss(student.logits, batch).mean()
    return first + method.label_loss(batch.strong.student.logits, batch).mean()
