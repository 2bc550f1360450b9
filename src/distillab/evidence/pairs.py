"""Result rows arranged by cell, and pairs of runs that differ only in the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distillab.study.ledger import JobState
from distillab.tasks import Metric

Row = dict[str, Any]
"""One row of ``results.parquet`` or ``effects.parquet``: column -> value, None where there is none."""
CellKey = tuple[Any, ...]
SeedRows = dict[int, Row]  # seed -> row
Runs = dict[str, SeedRows]  # method -> seed -> row

FACTOR = "factor."
PLACE_COLUMNS = ("dataset", "provenance", "teacher", "student")


def level_columns(levels: Mapping[str, float | str]) -> Row:
    """Return the ``factor.<name>`` columns of a row, from its level by factor.

    Example:
        >>> level_columns({"size": 25, "granularity": "fine"})
        {'factor.size': 25.0, 'factor.granularity': 'fine'}
    """
    return {
        f"{FACTOR}{name}": level if isinstance(level, str) else float(level) for name, level in levels.items()
    }


def factor_columns(rows: Iterable[Row]) -> list[str]:
    """Return the ``factor.<name>`` columns that occur, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row if key.startswith(FACTOR)))


def cell_columns(rows: Iterable[Row]) -> list[str]:
    """Return the columns that name a cell: everything that both runs of a contrast share."""
    rows = list(rows)
    tuned = ["setting"] if any("setting" in row for row in rows) else []
    return ["dataset", *factor_columns(rows), "provenance", "teacher", "student", *tuned]


def by_cell(rows: Iterable[Row], columns: Sequence[str]) -> dict[CellKey, Runs]:
    """Return the runs of each cell (its values of ``columns``), in order of appearance.

    The same run may belong to several cells, and occur more than once in a cell.

    Raises:
        ValueError: A cell holds two different runs of one method and seed.
    """
    cells: dict[CellKey, Runs] = {}
    for row in rows:
        cell = tuple(row.get(column) for column in columns)
        seeds = cells.setdefault(cell, {}).setdefault(row["method"], {})
        other = seeds.setdefault(row["seed"], row)
        if other is not row and (row.get("run_id") is None or other.get("run_id") != row["run_id"]):
            raise ValueError(f"two runs of {row['method']!r} with seed {row['seed']} in one cell: {cell}")
    return cells


def pairs(distilled: SeedRows, plain: SeedRows, column: str) -> list[tuple[Row, Row]]:
    """Return the (distilled, plain) rows, by seed, where both runs are done and have the metric."""

    def usable(row: Row) -> bool:
        return row["status"] == JobState.DONE and finite_value(row, column) is not None

    return [
        (distilled[seed], plain[seed])
        for seed in sorted(distilled.keys() & plain.keys())
        if usable(distilled[seed]) and usable(plain[seed])
    ]


def teachers_of(paired: Iterable[tuple[Row, Row]]) -> list[str] | None:
    """Return the teacher behind each pair, or None if a pair has none: its training, or its given weights."""
    found = [_teacher_of(after) or _teacher_of(before) for after, before in paired]
    return None if None in found else [str(each) for each in found]


def _teacher_of(row: Row) -> str | None:
    given = row.get("teacher_weights")
    if given is None and row.get("provenance") == "external" and "teacher_weights" not in row:
        given = row.get("teacher_run") and "given"  # a table of a version before the column
    return given or row.get("teacher_run")


def finite_value(row: Row, column: str) -> float | None:
    """Return a measured value, or None if it is missing or NaN (a metric that does not apply to the run)."""
    value = row.get(column)
    return None if value is None or math.isnan(value) else float(value)


def resolution_of(paired: Iterable[tuple[Row, Row]], metric: Metric) -> float | None:
    """Return the step of a metric that counts test examples, 1 / ``n_test``.

    The result is None for other metrics, and for those of further test sets (``accuracy.NAME``), because
    ``n_test`` counts the examples of the primary one.
    """
    if "." in metric.name or not metric.counts_examples:
        return None
    sizes = [row["n_test"] for pair in paired for row in pair if row.get("n_test")]
    return 1.0 / min(sizes) if sizes else None
