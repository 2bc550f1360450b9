"""What every exit of a student costs and scores, from the records of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.schema import exits_schema, write_table
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY
from distillab.tasks import Task

PLACE = ("run_id", "dataset", "provenance", "teacher", "student", "method", "seed")


def exit_rows(folder: StudyFolder, rows: Iterable[Row], task: Task) -> list[Row]:
    """Return a row per finished student, exit and vote, of the students that have exits.

    The score is the primary metric on the primary test set, of the last weights.

    Args:
        folder: The study.
        rows: Result rows.
        task: The task of the study.

    Example:
        >>> from pathlib import Path
        >>> from distillab.tasks import Classification
        >>> exit_rows(StudyFolder(Path("demo")), [], Classification())
        []
    """
    found = []
    for row in rows:
        if row["status"] != JobState.DONE:
            continue
        place = {key: value for key, value in row.items() if key in PLACE or key.startswith(FACTOR)}
        for each in folder.store.run_record("student", row["run_id"]).exits or ():
            facts = {"params": each.params, "macs": each.macs, "score": each.accuracy.get(PRIMARY)}
            found.append({**place, "exit": each.name, "metric": task.primary, **facts})
    return found


def write_exits(folder: StudyFolder, rows: Iterable[Row], task: Task, factors: Mapping[str, bool]) -> None:
    """Write ``exits.parquet``, if a student of the study has exits.

    Args:
        folder: The study.
        rows: Result rows.
        task: The task of the study.
        factors: The factors of the study, and whether their levels are names.
    """
    found = exit_rows(folder, rows, task)
    if found:
        write_table(found, exits_schema(factors), folder.exits_file)
