"""The best method of a study that is still running, from the pairs that are finished."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from distillab.evidence.measurements import Measurements
from distillab.evidence.wording import amount
from distillab.printable import counted
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.spec.evidence import PLAIN


class BestSoFar:
    """The method with the largest mean gain over the plain student, over all finished pairs of a study.

    Each run is measured once, however often :meth:`describe` is called. A mean over conditions is no verdict:
    it is for a line of progress.

    Args:
        folder: The study.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> _ = folder.study_file.write_text(
        ...     "{study: demo, data: {source: digits}, teacher: {model: resnet8}, "
        ...     "students: [resnet8], methods: [kd]}"
        ... )
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> BestSoFar(folder).describe()
        ''
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._measurements = Measurements(folder)
        self._task = folder.spec.task_config()
        self._pairs = _pairs(self._measurements.cells)

    def describe(self) -> str:
        """Return the method with its gain: ``kd, +1.8 points of accuracy over ce (12 pairs)``.

        The result is empty if no pair is done.
        """
        self._measurements.refresh()
        metric = self._task.metrics[self._task.primary]
        sign = 1.0 if metric.higher_is_better else -1.0
        gains: defaultdict[str, list[float]] = defaultdict(list)
        for distilled, plain in self._pairs:
            scores = [self._measurements.score(cell) for cell in (distilled, plain)]
            if scores[0] is not None and scores[1] is not None:
                gains[distilled.method].append(scores[0] - scores[1])
        if not gains:
            return ""
        method, found = max(gains.items(), key=lambda item: sign * fmean(item[1]))
        gain = amount(fmean(found), metric)
        return (
            f"{method}, {gain} {metric.unit} of {metric.label} over {PLAIN} ({counted(len(found), 'pair')})"
        )


def _pairs(cells: list[Cell]) -> list[tuple[Cell, Cell]]:
    """Return each distilled cell of a design with the plain cell of the same condition and seed."""
    plain = {_place(cell): cell for cell in cells if cell.method == PLAIN}
    return [(cell, plain[_place(cell)]) for cell in cells if cell.method != PLAIN and _place(cell) in plain]


def _place(cell: Cell) -> tuple[object, ...]:
    levels = tuple(cell.levels.items())
    return levels, cell.provenance, cell.teacher, cell.student, cell.seed, cell.setting
