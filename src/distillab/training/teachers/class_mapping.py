"""What a teacher of other classes says, in the student's classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from distillab.artefacts import StoredLogits
from distillab.data.class_map import UNMAPPED, ClassMap, merges
from distillab.models.outputs import Outputs
from distillab.training.loop.evaluation import to_half
from distillab.training.loop.stream import Step
from distillab.training.teachers.feed import TeacherFeed


class MappedTeacher:
    """A teacher's feed in the student's classes."""

    def __init__(self, feed: TeacherFeed, mapping: ClassMap) -> None:
        self.feed, self.mapping = feed, mapping
        self._classifier: nn.Linear | None = None

    def __call__(self, step: Step) -> Outputs:
        said = self.feed(step)
        if said.classifier is not None and self._classifier is None:
            self._classifier = map_classifier(said.classifier, self.mapping)
        return replace(said, logits=map_logits(said.logits, self.mapping), classifier=self._classifier)


def map_logits(logits: Tensor, mapping: ClassMap) -> Tensor:
    """Logits in the student's classes: float ``[N, teacher's]`` -> ``[N, student's]``, at least float32.

    Each is the log-sum-exp of those that stand for it: its softmax is the sum of their probabilities, given
    that the image is of a class that the student knows.
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    members = _members(mapping)
    if not merges(mapping):
        return logits[:, torch.tensor([each[0] for each in members], device=logits.device)]
    return torch.stack([logits[:, each].logsumexp(dim=1) for each in members], dim=1)


def to_student_classes(logits: StoredLogits, mapping: ClassMap | None) -> StoredLogits:
    """Logits of a test set in the student's classes, float16 ``[N, student's]``."""
    if mapping is None:
        return logits
    return to_half(map_logits(torch.from_numpy(np.asarray(logits)), mapping))


def map_classifier(layer: nn.Linear, mapping: ClassMap) -> nn.Linear | None:
    """The rows of a last layer that the student knows, or None if its classes are merged: sums of
    probabilities are not linear."""
    if merges(mapping):
        return None
    rows = torch.tensor([each[0] for each in _members(mapping)], device=layer.weight.device)
    cut = nn.Linear(layer.in_features, len(rows), bias=layer.bias is not None)
    cut.weight = nn.Parameter(layer.weight.detach()[rows], requires_grad=False)
    if layer.bias is not None:
        cut.bias = nn.Parameter(layer.bias.detach()[rows], requires_grad=False)
    return cut


def _members(mapping: ClassMap) -> list[list[int]]:
    """For each class of the student, the teacher's classes that stand for it."""
    known = max(mapping) + 1
    return [[t for t, ours in enumerate(mapping) if ours == label != UNMAPPED] for label in range(known)]
