"""What the embeddings of a study's networks retrieve, from its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distillab.artefacts import LOGITS, load_logits
from distillab.data.examples import Examples, Indices
from distillab.modalities import modality_of
from distillab.report.collect.shown_students import network_text, shown_students
from distillab.report.contents.retrieval import FoundBy, FoundTile, Query, RetrievalView
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.planning.conditions import PRIMARY
from distillab.tasks.arrays import Values
from distillab.training.stages.nearest import load_nearest

_SHOWN = 8  # neighbors of a query
PLACES = (
    (0.0, "lowest gain"),
    (0.25, "first quartile of the gain"),
    (0.5, "median gain"),
    (0.75, "third quartile of the gain"),
    (1.0, "highest gain"),
)
"""Which queries are shown: quantiles of the gain of average precision, and what each is called."""


@dataclass(frozen=True)
class _Student:
    """A finished student with what it retrieved.

    Attributes:
        cell: Its place in the design.
        precision: Average precision of the labelled queries.
        nearest: Positions of the nearest examples of the database, int32 ``[N, n]``.
    """

    cell: Cell
    precision: Values
    nearest: np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def retrieval_view(folder: StudyFolder) -> RetrievalView | None:
    """Return what the report shows of retrieval; None for another task, or before there is anything.

    It is that of the first condition and seed whose plain student and a distilled one are done. Queries are
    chosen by their rank, so that none is picked by hand: those at quantiles of the gain in average precision
    of the first distilled method, the one of the first contrast that the study declares.
    """
    if not folder.spec.task_config().searches:
        return None
    shown = shown_students(folder)
    if shown is None:
        return None
    roles = folder.roles(shown.condition)
    test = roles.eval[PRIMARY]
    students = [_student(folder, cell, test) for cell in (shown.plain, *shown.distilled)]
    databases = [_database(folder, each.cell, roles.transfer, roles.labelled) for each in students]
    queries = tuple(_queries(test, students, databases))
    searched = int(databases[0].labelled.sum())
    return RetrievalView(shown.title, students[1].cell.method, searched, queries)


def _student(folder: StudyFolder, cell: Cell, test: Examples) -> _Student:
    place = folder.store.folder("student", cell.run_id)
    stored = load_logits(place / LOGITS)[f"{PRIMARY}.last"]
    precision = folder.spec.task_config().contributions(stored, test.targets)
    return _Student(cell, precision, load_nearest(place)[PRIMARY])


def _database(folder: StudyFolder, cell: Cell, transfer: Examples, labelled: Examples) -> Examples:
    """Return the training set of a student, which its positions are of."""
    job = folder.job(cell.run_id)
    assert isinstance(job, StudentJob)
    return labelled if job.inputs.train == "labelled" else transfer


def _queries(test: Examples, students: Sequence[_Student], databases: Sequence[Examples]) -> list[Query]:
    known = np.flatnonzero(test.labelled)
    gains = students[1].precision - students[0].precision
    order, shown = np.argsort(gains, kind="stable"), []
    places = {int(order[round(share * (len(order) - 1))]): name for share, name in reversed(PLACES)}
    for rank, name in reversed(places.items()):
        query = int(known[rank])
        label = int(test.labels[query])
        found = tuple(
            FoundBy(
                network_text(each.cell.method),
                float(each.precision[rank]),
                _tiles(database, each.nearest[query].astype(np.int64), label),
            )
            for each, database in zip(students, databases, strict=True)
        )
        shown.append(Query(_picture(test, query), test.classes[label], name, found))
    return shown


def _tiles(database: Examples, positions: Indices, label: int) -> tuple[FoundTile, ...]:
    labels = database.labels[positions[:_SHOWN]].tolist()
    return tuple(
        FoundTile(_picture(database, int(place)), database.classes[each], each == label)
        for place, each in zip(positions[:_SHOWN], labels, strict=True)
    )


def _picture(examples: Examples, position: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | bytes:
    return modality_of(examples).preview(examples.items(np.array([position]))[0]).picture
