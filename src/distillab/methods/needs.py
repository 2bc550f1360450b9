"""What a method needs of networks, labels and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from distillab.models.outputs import OutputNeed as OutputNeed

LabelNeed = Literal["labels", "every_label"]
"""What labels give: those that are known, or one for every example."""

BatchNeed = Literal["ids", "memory", "groups", "inputs", "strong_view"]
"""What a batch gives: ids, places in the training set to remember examples by, groups, inputs, and outputs
for a second, strong view of every example."""

Need = OutputNeed | LabelNeed | BatchNeed

OF_WHOLE_EXAMPLES: Final = frozenset({"classification", "multilabel"})
"""The tasks whose logits are about a whole example, for methods whose formula does not hold for each cell of
a detector."""

TeacherKind = Literal["none", "study", "self", "untrained"]
"""Whose outputs a method learns from: no teacher's, those of the study's teacher, of a trained copy of the
student, or of an untrained network of the teacher's architecture."""


@dataclass(frozen=True)
class Requirements:
    """What a method requires under a configuration.

    Attributes:
        needs: What it uses of the student, the labels and the batch.
        teacher_needs: What it uses of the teacher; empty without one.
        teacher: Whose outputs it learns from.

    Example:
        >>> Requirements(frozenset({"logits", "labels"}), frozenset(), "none").teacher
        'none'
    """

    needs: frozenset[Need]
    teacher_needs: frozenset[Need]
    teacher: TeacherKind
