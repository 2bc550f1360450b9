"""Networks of a study with what is stored of them for the test set, for pictures of what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distillab.artefacts import LOGITS, load_logits
from distillab.report.collect.shown_students import network_text
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.planning.conditions import PRIMARY
from distillab.tasks.arrays import Logits

TEACHER_ROLE = "teacher"
"""What stands in the place of the method of a teacher."""


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network with what is stored of its outputs for the test set.

    Attributes:
        method: The method of a student, or ``teacher``.
        stored: float16 ``[N, ...]``: detections, of a network for tracking with their embeddings.
    """

    method: str
    stored: Logits

    @property
    def name(self) -> str:
        """The network in words."""
        return self.method if self.method == TEACHER_ROLE else network_text(self.method)


def stored_student(folder: StudyFolder, cell: Cell) -> StoredNetwork:
    """Return the student of a cell.

    Args:
        folder: The study.
        cell: A cell whose student is done.
    """
    stored = load_logits(folder.store.folder("student", cell.run_id) / LOGITS)
    return StoredNetwork(cell.method, stored[f"{PRIMARY}.last"])


def stored_teachers(folder: StudyFolder, cells: Sequence[Cell]) -> list[StoredNetwork]:
    """Return the teachers of some students, each once.

    Args:
        folder: The study.
        cells: The cells of the students.
    """
    names = dict.fromkeys(cell.outputs for cell in cells if cell.outputs)
    known = [name for name in names if folder.store.has("outputs", name)]
    return [
        StoredNetwork(TEACHER_ROLE, load_logits(folder.store.folder("outputs", name) / LOGITS)[PRIMARY])
        for name in known
    ]
