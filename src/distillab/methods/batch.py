"""What a method knows of a batch, and of the pair of networks that it is built for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from distillab.models.outputs import Outputs, OutputShapes
from distillab.models.taps import Taps
from distillab.tasks import Classification, Mixed, Task


@dataclass(frozen=True)
class StrongView:
    """The outputs for a second view of every example of a batch, more strongly augmented than the first.

    Attributes:
        student: The student's outputs.
        teacher: The teacher's outputs; None for a method without a teacher.

    Example:
        >>> StrongView(Outputs(torch.zeros(2, 10)), None).student.logits.shape
        torch.Size([2, 10])
    """

    student: Outputs
    teacher: Outputs | None


@dataclass(frozen=True)
class Batch:
    """What a method knows of a batch besides the networks' outputs.

    Attributes:
        labels: The values of the targets: int64 ``[N]`` for one label per example, int8 ``[N, K]`` for label
            sets; -1 where a label is not known. :meth:`Method.label_loss` leaves those out; a method that
            cannot do so needs ``every_label``.
        ids: int64 ``[N]``, ids of the examples.
        positions: int64 ``[N]`` in [0, n_train), places of the examples in the training set, for methods that
            remember examples.
        epoch: 0-based epoch.
        progress: Share of the training that is done, in [0, 1).
        epoch_length: Steps per epoch.
        mixed: The second labels, if two examples were mixed.
        groups: int64 ``[N]``, groups of the examples, if the training set has groups.
        inputs: float32, the normalized inputs as the student receives them, one per example.
        strong: The outputs for the strong views, for a method that needs ``strong_view``.
        autocast: Returns a context in which a network of the method's own computes as the student does.

    Example:
        >>> positions = torch.arange(2)
        >>> batch = Batch(torch.tensor([3, -1]), positions, positions, epoch=0, progress=0.0, epoch_length=1)
        >>> batch.dominant
        tensor([ 3, -1])
    """

    labels: Tensor
    ids: Tensor
    positions: Tensor
    epoch: int
    progress: float
    epoch_length: int
    mixed: Mixed | None = None
    groups: Tensor | None = None
    inputs: Tensor | None = None
    strong: StrongView | None = None
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def dominant(self) -> Tensor:
        """The label with the larger share, int64 ``[N]``; the example's own if they are equal."""
        if self.mixed is None:
            return self.labels
        return torch.where(self.mixed.share >= 0.5, self.labels, self.mixed.labels)

    def warmed_up(self, share: float) -> float:
        """Return a weight that rises in proportion from 0 to 1 over the first ``share`` of the training.

        Example:
            >>> positions = torch.arange(2)
            >>> batch = Batch(positions, positions, positions, epoch=0, progress=0.1, epoch_length=1)
            >>> batch.warmed_up(0.4), batch.warmed_up(0.05), batch.warmed_up(0.0)
            (0.25, 1.0, 1.0)
        """
        return min(self.progress / share, 1.0) if share > 0 else 1.0


@dataclass(frozen=True)
class Pair:
    """The pair of networks that a method is built for, and what is known of the transfer set.

    Attributes:
        student: Shapes of the student's outputs.
        teacher: Shapes of the teacher's outputs, or None without a teacher.
        n_train: Number of examples in the transfer set.
        labels: The values of their targets, wrong ones included, -1 where a label is not known. None where
            only shapes are known: while a study is planned.
        groups: Their groups, int64 ``[n_train]``, or None if the set has none.
        teacher_classifier: The teacher's last linear layer, from embeddings to logits; it must not be
            changed. None where only shapes are known.
        teacher_network: The teacher itself, in evaluation mode, for a method that needs it; it must not be
            changed. None where only shapes are known.
        new_student: Returns a new network of the student's architecture, on the CPU, its initial weights
            decided by the given number, for methods that train peers.
        task: What both networks are trained to predict.
        student_taps: Where the student's outputs are read, for methods that build on its stages. None where
            only shapes are known.
        kept_stages: The number of the student's first stages that keep the weights it starts from.

    Example:
        >>> shapes = OutputShapes(classes=10, embedding=64)
        >>> Pair(shapes, shapes, n_train=500).task
        Classification()
    """

    student: OutputShapes
    teacher: OutputShapes | None
    n_train: int
    labels: Tensor | None = None
    groups: Tensor | None = None
    teacher_classifier: nn.Linear | None = None
    teacher_network: nn.Module | None = None
    new_student: Callable[[int], nn.Module] | None = None
    task: Task = field(default_factory=Classification)
    student_taps: Taps | None = None
    kept_stages: int = 0
