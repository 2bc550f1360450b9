"""The teachers that students are compared with, the plain ones included."""

from __future__ import annotations

from collections.abc import Iterable

from distillab.study.design import Cell


class ComparedTeachers:
    """The teachers that the students of a study are compared with.

    A plain student is compared with the teacher of the distilled students of its seed.

    Args:
        cells: The cells of the study.

    Example:
        >>> plain = Cell({}, "full", "resnet20", "resnet8", "ce", 0, 100, run="a")
        >>> distilled = Cell({}, "full", "resnet20", "resnet8", "kd", 0, 100, run="b", teacher_run="t")
        >>> ComparedTeachers([plain, distilled]).of(plain)
        't'
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._runs: dict[str, str] = {}
        for cell in cells:
            if cell.teacher_run:
                self._runs.setdefault(_place(cell), cell.teacher_run)

    def of(self, cell: Cell) -> str | None:
        """Return the run of a student's teacher; None in studies without one."""
        return cell.teacher_run or self._runs.get(_place(cell))


def _place(cell: Cell) -> str:
    return f"{sorted(cell.levels.items())}/{cell.provenance}/{cell.teacher}/{cell.seed}"
