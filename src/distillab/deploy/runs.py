"""The students of a study that can be exported, and how one of them is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distillab.artefacts import RunRecord
from distillab.errors import RequestError
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import Condition, Roles

_ANSWER = "answer.json"
_LISTED = 8


@dataclass(frozen=True, eq=False)
class StudentRun:
    """A finished student of a study.

    Attributes:
        folder: The study.
        cell: Its row of the design.
        job: What was run.
        record: What is known of it.
        roles: The examples of its condition, by role.

    Example:
        >>> StudentRun.__dataclass_fields__["cell"].type
        'Cell'
    """

    folder: StudyFolder
    cell: Cell
    job: StudentJob
    record: RunRecord
    roles: Roles

    @property
    def store(self) -> Path:
        """The folder of its weights and its stored outputs."""
        return self.folder.store.folder("student", self.job.id)


def find_run(folder: StudyFolder, run_id: str | None) -> StudentRun:
    """Return a finished student of a study.

    Args:
        folder: The study.
        run_id: As for :func:`export_run`.

    Raises:
        RequestError: There is no such run, it is not done, or several could be meant.

    Example:
        >>> find_run(StudyFolder(Path("missing")), "8f0c")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: ...
    """
    if not folder.ledger_file.is_file():
        raise RequestError("is not the folder of a study", where=str(folder.path), allowed="a DIR of `run`")
    with folder.ledger() as ledger:
        cells, states = ledger.cells(), ledger.states()
    done = [cell for cell in cells if cell.run and states[cell.run].state == JobState.DONE]
    if not done:
        raise RequestError(
            "no student of this study is done", where=str(folder.path), allowed="`distillab run` first"
        )
    cell = _named(folder, done, cells, run_id) if run_id else _usual(folder, done)
    job = folder.job(cell.run_id)
    assert isinstance(job, StudentJob)
    record = folder.store.run_record("student", job.id)
    return StudentRun(folder, cell, job, record, folder.roles(Condition.read(job.condition)))


def _named(folder: StudyFolder, done: list[Cell], cells: Sequence[Cell], run_id: str) -> Cell:
    """Return the first cell of a run by its id, or by its beginning."""
    found = {cell.run_id: cell for cell in reversed(done) if cell.run_id.startswith(run_id)}
    if len(found) == 1:
        return next(iter(found.values()))
    planned = [cell for cell in cells if cell.run and cell.run.startswith(run_id)]
    what = f"no run {run_id!r}"
    if found:
        what = f"{len(found)} runs begin with {run_id!r}"
    elif planned:
        what = f"run {run_id!r} is not done"
    raise RequestError(what, where=str(folder.path), allowed=_choices(list(found.values()) or done))


def _usual(folder: StudyFolder, done: list[Cell]) -> Cell:
    """Return the cell that an answer names, or the best one on val among comparable ones."""
    answer = folder.path / _ANSWER
    if answer.is_file():
        try:
            named = json.loads(answer.read_text(encoding="utf-8")).get("run_id")
        except (ValueError, AttributeError) as error:
            raise RequestError(f"cannot be read ({error})", where=str(answer), allowed="RUN_ID") from error
        if named:
            return _named(folder, done, done, str(named))
    kinds = {(tuple(sorted(cell.levels.items())), cell.student, cell.provenance) for cell in done}
    if len(kinds) > 1:
        raise RequestError(
            f"this study has {len(kinds)} combinations of condition, student and provenance",
            where=f"{folder.path}: RUN_ID",
            allowed=_choices(done),
        )
    records = {cell.run_id: folder.store.run_record("student", cell.run_id) for cell in done}
    return max(done, key=lambda cell: _val_score(records[cell.run_id]))


def _val_score(record: RunRecord) -> float:
    return record.curve[-1].val_accuracy if record.curve else 0.0


def _choices(cells: Sequence[Cell]) -> str:
    unique = {cell.run_id: cell for cell in reversed(cells)}
    shown = []
    for run, cell in list(reversed(unique.items()))[:_LISTED]:
        levels = "".join(f" {name}={level}" for name, level in cell.levels.items())
        shown.append(f"{run} ({cell.student} {cell.method}{levels} seed {cell.seed})")
    more = len(unique) - len(shown)
    return ", ".join(shown) + (f" and {more} more, in results.parquet" if more > 0 else "")
