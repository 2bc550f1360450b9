"""The teachers of a study, and each student with its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import FACTOR, Row
from distillab.report.collect.question import conditions_text
from distillab.report.contents.runs import ModelPair, TeacherView
from distillab.study.folder import StudyFolder
from distillab.tasks import Task


def teacher_views(folder: StudyFolder) -> tuple[TeacherView, ...]:
    """Return every trained teacher of a study with its metrics on the primary test set."""
    dataset, measured = folder.dataset, Measurements(folder)
    views: dict[str, TeacherView] = {}
    for cell in measured.cells:
        name = cell.teacher_run
        if name is None or name in views or not folder.store.has("teacher", name):
            continue
        record = folder.store.run_record("teacher", name)
        same = cell.provenance == "same"
        condition = conditions_text(cell.levels) if same else ""
        views[name] = TeacherView(
            name=cell.teacher,
            provenance=cell.provenance,
            dataset=dataset.name,
            trained_on=f"{record.n_train:,} examples" + (f" ({condition})" if condition else ""),
            seed=cell.seed if same else None,
            measures=measured.teacher_metrics(cell),
            params=record.params,
            macs=record.macs,
            seconds=record.seconds,
        )
    return tuple(views.values())


def model_pairs(
    rows: Sequence[Row],
    teachers: Sequence[TeacherView],
    task: Task,
    *,
    plain: str,
    distilling: Sequence[str],
) -> tuple[ModelPair, ...]:
    """Return each student with its teacher, over the places where both compared methods are done.

    The methods are plain training and the first distillation method of the study. It is not the best one,
    because that one would be selected on test data.

    Args:
        rows: Result rows.
        teachers: The teachers, for their sizes.
        task: The task of the study.
        plain: The method of the plain students.
        distilling: The distillation methods in the order of the study.
    """
    pairs = []
    for teacher, student in dict.fromkeys((row["teacher"], row["student"]) for row in rows):
        mine = [r for r in rows if (r["teacher"], r["student"], r["status"]) == (teacher, student, "done")]
        if not mine:
            continue
        method, shared = _first_shared(mine, plain, distilling)
        view = next((each for each in teachers if each.name == teacher), None)
        pairs.append(
            ModelPair(
                teacher=teacher,
                student=student,
                teacher_score=_mean(shared, task.of_teacher),
                plain_score=_mean(shared, task.primary, method=plain),
                distilled_score=_mean(shared, task.primary, method=method) if method else None,
                distilled_method=method,
                teacher_params=None if view is None else view.params or None,  # not known of a black box
                teacher_macs=None if view is None else view.macs or None,
                student_params=mine[0]["params"],
                student_macs=mine[0]["macs"],
                context="means over the conditions and seeds where both are done"
                if method
                else "means over all conditions and seeds",
            )
        )
    return tuple(pairs)


def _first_shared(rows: Sequence[Row], plain: str, distilling: Sequence[str]) -> tuple[str, Sequence[Row]]:
    """Return the first distillation method with runs whose plain run is done, and both sides of them.

    Without such a method, return "" and the plain runs.
    """
    places = {method: {_place(row) for row in rows if row["method"] == method} for method in distilling}
    of_plain = {_place(row) for row in rows if row["method"] == plain}
    for method in distilling:
        if both := places[method] & of_plain:
            return method, [r for r in rows if r["method"] in (method, plain) and _place(r) in both]
    return "", [row for row in rows if row["method"] == plain]


def _place(row: Row) -> tuple[Any, ...]:
    """Return what both runs of a pair share: levels, provenance and seed."""
    levels = tuple(value for name, value in row.items() if name.startswith(FACTOR))
    return (*levels, row["provenance"], row["seed"])


def _mean(rows: Sequence[Row], column: str, method: str | None = None) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None and method in (None, row["method"])]
    return float(np.mean(values)) if values else None
