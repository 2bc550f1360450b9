"""Every student against its teacher: scores, losses, and whether it exceeds the teacher, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from distillab.evidence.contrast import ExampleValues
from distillab.evidence.gains import Gain, paired_gain
from distillab.evidence.pairs import Row, by_cell, cell_columns, finite_value, resolution_of, teachers_of
from distillab.evidence.verdicts import Verdict, judge
from distillab.printable import counted
from distillab.study.ledger import JobState
from distillab.tasks import Task

TeacherVerdict = Literal["exceeds", "below", "equal", "undecided"]
TEACHER_VERDICTS: dict[Verdict, TeacherVerdict] = {
    "helps": "exceeds",
    "harms": "below",
    "equivalent": "equal",
    "undecided": "undecided",
}
LOSS = "nll"
RowValues = Callable[[Row], ExampleValues | None]


def students_against_teacher(
    rows: Iterable[Row],
    task: Task,
    *,
    margin: float,
    confidence: float = 0.95,
    student_values: RowValues | None = None,
    teacher_values: RowValues | None = None,
) -> list[Row]:
    """Return one row per cell and method: the students' mean score and loss, and their lead on the teacher.

    A student and the teacher that it has (the plain one: that of the distilled students of its seed) are
    compared on the same test examples, seed by seed. ``verdict`` is ``exceeds``, ``below``, ``equal`` (within
    the margin) or ``undecided``; it is not corrected for the number of students.

    Args:
        rows: Result rows.
        task: The task.
        margin: Margin of practical equivalence.
        confidence: Of the intervals.
        student_values: Returns what each test example adds to the primary metric of the run of a row; None
            takes test examples as fixed.
        teacher_values: The same of the teacher of a row.

    Example:
        >>> from distillab.tasks import Classification
        >>> names = {"dataset": "d", "provenance": "full", "teacher": "t", "student": "s", "method": "kd"}
        >>> rows = [
        ...     {**names, "seed": seed, "status": "done", "accuracy": 0.9, "nll": 0.3, "n_test": 1000,
        ...      "teacher_accuracy": 0.8, "teacher_run": "t"} for seed in range(5)
        ... ]
        >>> [found] = students_against_teacher(rows, Classification(), margin=0.005)
        >>> round(found["difference"], 2), found["verdict"], found["loss"]
        (0.1, 'exceeds', 0.3)
    """
    rows, metric = list(rows), task.metrics[task.primary]
    columns, found = cell_columns(rows), []
    for cell, methods in by_cell(rows, columns).items():
        for method, seeds in methods.items():
            usable = [row for _, row in sorted(seeds.items()) if _is_usable(row, task)]
            if not usable:
                continue
            gain = _lead(usable, task, confidence, student_values, teacher_values)
            losses = [loss for row in usable if (loss := finite_value(row, LOSS)) is not None]
            verdict = judge(gain, metric.margin_for(margin), metric.higher_is_better)
            found.append(
                {
                    **dict(zip(columns, cell, strict=True)),
                    "method": method,
                    "metric": task.primary,
                    "n_pairs": gain.n_pairs,
                    "score": float(np.mean([row[task.primary] for row in usable])),
                    "loss": float(np.mean(losses)) if losses else None,
                    "teacher_score": float(np.mean([row[task.of_teacher] for row in usable])),
                    "difference": gain.gain,
                    "ci_low": _bounded(gain.ci_low),
                    "ci_high": _bounded(gain.ci_high),
                    "verdict": TEACHER_VERDICTS[verdict],
                }
            )
    return found


def _bounded(end: float) -> float | None:
    return end if np.isfinite(end) else None


def _is_usable(row: Row, task: Task) -> bool:
    scores = (finite_value(row, task.primary), finite_value(row, task.of_teacher))
    return row["status"] == JobState.DONE and None not in scores


def _lead(
    rows: Sequence[Row],
    task: Task,
    confidence: float,
    student_values: RowValues | None,
    teacher_values: RowValues | None,
) -> Gain:
    """Return the mean difference between students and teachers, paired by seed and test example."""
    parts = None
    if student_values and teacher_values:
        pairs = [(student_values(row), teacher_values(row)) for row in rows]
        known = [(own.values, other.values) for own, other in pairs if own is not None and other is not None]
        if len(known) == len(rows) and len({len(each) for pair in known for each in pair}) == 1:
            parts = np.stack([own - other for own, other in known])
    same = [(row, row) for row in rows]
    return paired_gain(
        [row[task.primary] for row in rows],
        [row[task.of_teacher] for row in rows],
        confidence=confidence,
        resolution=resolution_of(same, task.metrics[task.primary]),
        teachers=teachers_of(same),
        contributions=parts,
    )


def lead_sentences(rows: Sequence[Row], task: Task) -> tuple[str, ...]:
    """Return which students exceed their teacher, one sentence per finding; empty for studies of one student.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"student": "s", "method": "kd", "difference": 0.03, "ci_low": 0.01, "ci_high": 0.05,
        ...        "verdict": "exceeds"}
        >>> [sentence] = lead_sentences([row, {**row, "student": "t", "verdict": "below"}], Classification())
        >>> sentence
        's (kd) exceeds its teacher by 3.0 points of accuracy (1.0 to 5.0; uncorrected, 2 comparisons).'
    """
    if len({row["student"] for row in rows}) < 2:
        return ()
    metric = task.metrics[task.primary]
    ahead = [row for row in rows if row["verdict"] == "exceeds"]
    if not ahead:
        return ("No student exceeds its teacher beyond doubt.",)

    def scaled(value: float) -> str:
        return f"{metric.scale * value:.1f}"

    return tuple(
        f"{row['student']} ({row['method']}) exceeds its teacher by {scaled(row['difference'])} "
        f"{metric.unit} of {metric.label} ({scaled(row['ci_low'])} to {scaled(row['ci_high'])}; uncorrected, "
        f"{counted(len(rows), 'comparison')})."
        for row in ahead
    )
