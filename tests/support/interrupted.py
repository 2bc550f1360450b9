"""Trainings that are interrupted at a step of which there is a snapshot, and go on from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillab.artefacts import CURVE_LOGITS, LOGITS, SELECTED_WEIGHTS, WEIGHTS, RunRecord
from distillab.training.loop.results import DivergenceError
from distillab.training.loop.snapshots import Snapshots
from distillab.training.stages import StudentSpec, train_students
from support.training import CPU

IDS = ["8f0c"]


class Interrupted(Exception):
    """The process ends here."""


class AfterStep(Snapshots):
    """Snapshots of which one is due, after some steps.

    Args:
        folder: Where it is written.
        steps: That number.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder, IDS, seconds=math.inf)
        self.left = steps

    def is_due(self) -> bool:
        self.left -= 1
        return self.left == 0


class StepsDone:
    """Counts steps, and interrupts the training after some.

    Args:
        upto: That number; none for a training that reaches its end.
    """

    def __init__(self, upto: int = 0) -> None:
        self.count, self.upto = 0, upto

    def __call__(self, step: int) -> None:
        self.count += 1
        if self.count == self.upto:
            raise Interrupted


def resuming(folder: Path) -> Snapshots:
    """Return the snapshots of another process, which writes none."""
    return Snapshots(folder, IDS, seconds=math.inf)


def steps_after_interruption(
    train: Callable[..., Any], folder: Path, *, at: int, later: int = 1
) -> tuple[Any, int]:
    """Train until some steps after a snapshot, then again to the end.

    Args:
        train: Trains, with ``snapshots`` and ``on_step``.
        folder: The folder of snapshots.
        at: The step of the snapshot.
        later: How many steps later the training is interrupted.

    Returns:
        What ``train`` returns at the end, and how many steps it did for it.
    """
    with pytest.raises(Interrupted):
        train(snapshots=AfterStep(folder, at), on_step=StepsDone(at + later))
    done = StepsDone()
    return train(snapshots=resuming(folder), on_step=done), done.count


def students_trained(
    folder: Path, students: list[dict[str, Any]], teacher: Path | None, **keys: Any
) -> list[tuple[dict[str, bytes], list[Any]]]:
    """Train a cohort and return, of each student, the content of its files and its curve.

    Args:
        folder: A folder, made anew.
        students: The arguments of each :class:`StudentSpec` after the folder.
        teacher: The teacher's folder, if there is one.
        keys: Further arguments of :func:`train_students`.
    """
    specs = []
    for place, arguments in enumerate(students):
        (folder / str(place)).mkdir(parents=True, exist_ok=True)
        specs.append(StudentSpec(folder / str(place), **arguments))
    records = train_students(specs, outputs_folder=None, teacher_folder=teacher, device=CPU, **keys)
    return [_what_is_kept(each.folder, record) for each, record in zip(specs, records, strict=True)]


def _what_is_kept(folder: Path, record: RunRecord | DivergenceError) -> tuple[dict[str, bytes], list[Any]]:
    if isinstance(record, DivergenceError):
        return {}, [str(record)]
    names = [WEIGHTS, SELECTED_WEIGHTS, LOGITS, CURVE_LOGITS]
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    return files, [record.curve, record.accuracy, record.selected_epoch]
