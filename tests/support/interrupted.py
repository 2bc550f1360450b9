"""Trainings that are interrupted at a step of which there is a snapshot, and go on from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from distillab.artefacts import CURVE_LOGITS, LOGITS, SELECTED_WEIGHTS, WEIGHTS, RunRecord
from distillab.training.loop.results import DivergenceError
from distillab.training.loop.snapshots import Snapshots
from distillab.training.stages import StudentSpec, train_students
from support.training import CPU

IDS = ["8f0c"]


class InterruptedTrainingError(Exception):
    """The process ends here."""


class AfterStep(Snapshots):
    """Snapshots of which one is written, after some steps, and another step later the process ends.

    Args:
        folder: Where it is written.
        steps: That number.
        cohort: The ids of the jobs.
    """

    def __init__(self, folder: Path, steps: int, cohort: Sequence[str] = IDS) -> None:
        super().__init__(folder, cohort, seconds=math.inf)
        self.left = steps

    def is_due(self) -> bool:
        self.left -= 1
        if self.left < 0:
            raise InterruptedTrainingError
        return self.left == 0


def resuming(folder: Path, cohort: Sequence[str] = IDS) -> Snapshots:
    """Return the snapshots as another process opens them, which writes none."""
    return Snapshots(folder, cohort, seconds=math.inf)


def interrupt(train: Callable[..., Any], folder: Path, *, at: int) -> None:
    """Train until a step after the snapshot of step ``at``; ``train`` takes ``snapshots``."""
    with pytest.raises(InterruptedTrainingError):
        train(snapshots=AfterStep(folder, at))


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
