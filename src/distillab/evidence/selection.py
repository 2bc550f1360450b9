"""Which student of which teacher to ship: chosen on val, and measured on test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from distillab.evidence.pairs import FACTOR, Row, cell_columns, factor_columns, finite_value
from distillab.evidence.table_schema import (
    Factors,
    columns_of_factors,
    number_columns,
    table_schema,
    text_columns,
)
from distillab.evidence.wording import amount, describe_level
from distillab.study.ledger import JobState
from distillab.tasks import Metric, Task

NETWORKS = ("teacher", "student")
OF_TEACHERS = tuple(f"{FACTOR}{name}" for name in ("teacher_capacity", "teacher_age"))
"""Factors whose levels are teachers to choose from, and not conditions to choose under."""

_OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.HELD)


def selection_schema(factors: Factors, *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``selection.parquet``, one row per teacher, student and method to choose from.

    ``val_score``, ``score`` (on test) and ``teacher_score`` are means over seeds of the primary metric,
    ``retention`` is ``score`` as a share of ``teacher_score``, and ``chosen`` marks one row per condition.

    Args:
        factors: The factors of the study.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> selection_schema([]).names[-3:]
        ['teacher_score', 'retention', 'chosen']
    """
    return table_schema(
        "selection",
        {"dataset": pa.string()}
        | columns_of_factors(factors)
        | text_columns("provenance", *NETWORKS, *(["setting"] if tuned else []), "method", "metric")
        | {"n_runs": pa.int64(), "params": pa.int64()}
        | number_columns(["val_score", "score", "teacher_score", "retention"])
        | {"chosen": pa.bool_()},
    )


def select_students(
    rows: Iterable[Row], task: Task, *, margin: float, plain: Collection[str] = ()
) -> list[Row]:
    """Return every student of every teacher under each condition, with the one to ship marked.

    Chosen is the smallest network whose mean score on val is at most the margin below the best one; among
    networks of one size, the best. Means are over the seeds that all of them have finished. Those of which
    every run failed are left out, and nothing is chosen while runs are open. Nothing is read of the test set,
    whose score stands beside the choice. The choice makes the score on val optimistic.
    Conditions with one student and one teacher have no rows, since there is no network to choose.

    Args:
        rows: Result rows.
        task: The task.
        margin: How much worse than the best is as good, in the unit of the primary metric.
        plain: Methods that distil nothing. Their rows name no teacher.

    Returns:
        Rows in order of appearance. A run that serves several teachers is there once, without a retention.

    Example:
        >>> from distillab.tasks import Classification
        >>> names = {"dataset": "d", "provenance": "full", "teacher": "t", "method": "kd", "status": "done"}
        >>> sizes = {"small": (1000, 0.898), "large": (9000, 0.9)}
        >>> rows = [
        ...     {**names, "student": name, "run_id": name, "seed": 0, "params": params, "val_score": score,
        ...      "accuracy": score, "teacher_accuracy": 0.95} for name, (params, score) in sizes.items()
        ... ]
        >>> [row["student"] for row in select_students(rows, Classification(), margin=0.005) if row["chosen"]]
        ['small']
    """
    metric, found = task.metrics[task.primary], []
    for candidates in _by_condition(list(rows)):
        if len({each.networks for each in candidates}) < 2:
            continue
        if any(each.is_open for each in candidates):
            continue
        usable = [each for each in candidates if each.finished]
        seeds = set.intersection(*(each.finished for each in usable)) if usable else set()
        if not seeds:
            continue
        scored = [each.measured(sorted(seeds), task, plain) for each in usable]
        _choose(scored, metric, margin)
        found += scored
    return found


def choice_sentences(rows: Sequence[Row], metric: Metric, *, margin: float) -> tuple[str, ...]:
    """Return the choice under each condition in words.

    Args:
        rows: Rows of :func:`select_students`.
        metric: The primary metric.
        margin: How much worse than the best was as good.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"student": "resnet8", "method": "kd", "teacher": "resnet20", "chosen": True,
        ...        "score": 0.9, "retention": 0.96, "factor.size": 50}
        >>> [sentence] = choice_sentences([row], Classification().metrics["accuracy"], margin=0.005)
        >>> print(sentence.replace(", the", ",\\nthe").replace(" (", "\\n("))
        50 examples per class: chosen on val is resnet8 by kd from resnet20,
        the smallest network within 0.5 points of the best
        (90.0 on test, 96 % of the teacher's score).
    """
    return tuple(_sentence(row, metric, margin) for row in rows if row["chosen"])


def _sentence(row: Row, metric: Metric, margin: float) -> str:
    levels = [describe_level(name, row[name]) for name in factor_columns([row]) if name not in OF_TEACHERS]
    where = f"{', '.join(levels)}: chosen" if levels else "Chosen"
    taught = f" from {row['teacher']}" if row["teacher"] else ""
    kept = f", {100 * row['retention']:.0f} % of the teacher's score" if row["retention"] is not None else ""
    within = f"{amount(margin, metric, sign=False)} {metric.unit}"
    tested = "" if row["score"] is None else f" ({amount(row['score'], metric, sign=False)} on test{kept})"
    return (
        f"{where} on val is {row['student']} by {row['method']}{taught}, "
        f"the smallest network within {within} of the best{tested}."
    )


@dataclass(frozen=True)
class Candidate:
    """One student of one teacher by one method: its rows by seed."""

    rows: dict[int, Row]
    shared: bool  # whether its runs serve several teachers

    @property
    def first(self) -> Row:
        return next(iter(self.rows.values()))

    @property
    def is_open(self) -> bool:
        """Whether a run of it has still to finish."""
        return any(row["status"] in _OPEN for row in self.rows.values())

    @property
    def networks(self) -> tuple[object, ...]:
        """The teacher and the student, as the factors have them."""
        return tuple(self.first.get(column) for column in (*NETWORKS, *OF_TEACHERS))

    @property
    def _teacher(self) -> str:
        """The teacher of the level; the column of a study that compares teachers names all of them."""
        return str(self.first.get(OF_TEACHERS[0]) or self.first["teacher"])

    @property
    def finished(self) -> set[int]:
        """Seeds whose run is done and was scored on val."""
        done = (row for row in self.rows.values() if row["status"] == JobState.DONE)
        return {row["seed"] for row in done if finite_value(row, "val_score") is not None}

    def measured(self, seeds: Sequence[int], task: Task, plain: Collection[str]) -> Row:
        """Return the row of the table, not yet chosen."""
        rows = [self.rows[seed] for seed in seeds]
        score, teacher = _mean(rows, task.primary), None if self.shared else _mean(rows, task.of_teacher)
        names = {column: self.first.get(column) for column in [*cell_columns([self.first]), "method"]}
        share = score / teacher if score is not None and teacher else None
        return names | {
            "teacher": None if self.shared or self.first["method"] in plain else self._teacher,
            "metric": task.primary,
            "n_runs": len(rows),
            "params": self.first["params"],
            "val_score": _mean(rows, "val_score"),
            "score": score,
            "teacher_score": teacher,
            "retention": share if task.metrics[task.primary].higher_is_better else None,
            "chosen": False,
        }


def _by_condition(rows: Sequence[Row]) -> list[list[Candidate]]:
    """Return the candidates under each condition; runs that serve several teachers are there once."""
    columns = [each for each in cell_columns(rows) if each not in (*NETWORKS, *OF_TEACHERS)]
    conditions: dict[tuple[object, ...], dict[tuple[object, ...], dict[int, Row]]] = {}
    for row in rows:
        place = tuple(row.get(column) for column in columns)
        name = tuple(row.get(column) for column in (*NETWORKS, *OF_TEACHERS, "method"))
        conditions.setdefault(place, {}).setdefault(name, {})[row["seed"]] = row
    return [_without_repeats(list(each.values())) for each in conditions.values()]


def _without_repeats(every: Sequence[dict[int, Row]]) -> list[Candidate]:
    by_runs: dict[tuple[str, ...], list[dict[int, Row]]] = {}
    for rows in every:
        by_runs.setdefault(tuple(row["run_id"] for row in rows.values()), []).append(rows)
    return [Candidate(same[0], len(same) > 1) for same in by_runs.values()]


def _choose(rows: Sequence[Row], metric: Metric, margin: float) -> None:
    sign = 1 if metric.higher_is_better else -1
    best = max(sign * row["val_score"] for row in rows)
    as_good = [row for row in rows if sign * row["val_score"] >= best - margin - 1e-12]
    min(as_good, key=lambda row: (row["params"], -sign * row["val_score"]))["chosen"] = True


def _mean(rows: Sequence[Row], column: str) -> float | None:
    values = [value for row in rows if (value := finite_value(row, column)) is not None]
    return float(np.mean(values)) if len(values) == len(rows) else None
