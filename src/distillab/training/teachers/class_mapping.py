"""The outputs of a teacher that has other classes than the student, in the student's classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from distillab.artefacts import StoredLogits
from distillab.data.class_map import UNMAPPED, ClassMap, merges
from distillab.models.outputs import Outputs
from distillab.tasks import Task
from distillab.training.batches import TrainingBatch
from distillab.training.evaluation import to_half
from distillab.training.teachers.feed import TeacherFeed


class MappedTeacher:
    """A teacher whose outputs are mapped to the student's classes.

    Args:
        feed: The teacher, with its own classes.
        mapping: The student's class of each of its classes.

    Example:
        >>> teacher = MappedTeacher(lambda batch: Outputs(torch.tensor([[3.0, 1.0, 2.0]])), (1, UNMAPPED, 0))
        >>> batch = TrainingBatch(0, 0, True, np.array([0]), torch.zeros(1, 1, 8, 8), torch.tensor([0]))
        >>> teacher(batch).logits
        tensor([[2., 3.]])
    """

    def __init__(self, feed: TeacherFeed, mapping: ClassMap) -> None:
        self._feed, self._mapping = feed, mapping
        self._classifier: nn.Linear | None = None

    def __call__(self, batch: TrainingBatch) -> Outputs:
        """Return the outputs for a batch."""
        outputs = self._feed(batch)
        if outputs.classifier is not None and self._classifier is None:
            self._classifier = map_classifier(outputs.classifier, self._mapping)
        logits = map_logits(outputs.logits, self._mapping)
        return replace(outputs, logits=logits, classifier=self._classifier)


def map_logits(logits: Tensor, mapping: ClassMap) -> Tensor:
    """Return logits in the student's classes: float ``[N, teacher's]`` -> ``[N, student's]``.

    Each is the log-sum-exp of the logits of the teacher's classes that correspond to it: its softmax is the
    sum of their probabilities, given that the example has a class of the student.

    Args:
        logits: The teacher's logits.
        mapping: The student's class of each of the teacher's classes.

    Returns:
        At least float32.

    Example:
        >>> map_logits(torch.tensor([[3.0, 1.0, 2.0]]), (1, UNMAPPED, 0))
        tensor([[2., 3.]])
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    sources = _sources(mapping)
    if not merges(mapping):
        return logits[:, torch.tensor([each[0] for each in sources], device=logits.device)]
    return torch.stack([logits[:, each].logsumexp(dim=1) for each in sources], dim=1)


def to_student_classes(
    stored: StoredLogits, mapping: ClassMap | None, task: Task | None = None
) -> StoredLogits:
    """Return what is stored for a test set in the student's classes, float16 ``[N, student's]``.

    Args:
        stored: Logits, and the further columns of a task.
        mapping: The student's class of each of the teacher's classes; None if they are the same.
        task: The task, if it has further columns, which stay as they are.

    Example:
        >>> to_student_classes(np.array([[3.0, 1.0, 2.0]], np.float16), (1, UNMAPPED, 0))
        array([[2., 3.]], dtype=float16)
    """
    if mapping is None or (task and not task.stores_logits):
        return stored
    width = stored.shape[1] - (task.extra_columns if task else 0)
    mapped = to_half(map_logits(torch.from_numpy(np.asarray(stored[:, :width])), mapping))
    return mapped if task is None else np.concatenate([mapped, stored[:, width:]], axis=1)


def map_classifier(layer: nn.Linear, mapping: ClassMap) -> nn.Linear | None:
    """Return a last linear layer with the rows of the student's classes alone.

    Returns:
        The layer, frozen, or None if several of the teacher's classes are one of the student's: sums of
        probabilities are not linear.

    Example:
        >>> map_classifier(nn.Linear(4, 3), (1, UNMAPPED, 0))
        Linear(in_features=4, out_features=2, bias=True)
    """
    if merges(mapping):
        return None
    rows = torch.tensor([each[0] for each in _sources(mapping)], device=layer.weight.device)
    cut = nn.Linear(layer.in_features, len(rows), bias=layer.bias is not None)
    cut.weight = nn.Parameter(layer.weight.detach()[rows], requires_grad=False)
    if layer.bias is not None:
        cut.bias = nn.Parameter(layer.bias.detach()[rows], requires_grad=False)
    return cut


def _sources(mapping: ClassMap) -> list[list[int]]:
    """The teacher's classes that correspond to each class of the student."""
    students = max(mapping) + 1
    return [
        [source for source, target in enumerate(mapping) if target == label != UNMAPPED]
        for label in range(students)
    ]
