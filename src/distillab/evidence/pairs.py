"""Result rows put side by side: cells, and the pairs of runs in them that differ only in the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from distillab.tasks.classification import METRICS

Row = dict[str, Any]
Cell = tuple[Any, ...]
Runs = dict[str, dict[int, Row]]  # method -> seed -> row

FACTOR = "factor."


def factor_columns(rows: Iterable[Row]) -> list[str]:
    """The ``factor.<name>`` columns that occur, in the order in which they occur first."""
    return list(dict.fromkeys(key for row in rows for key in row if key.startswith(FACTOR)))


def cell_columns(rows: Iterable[Row]) -> list[str]:
    """The columns that name a cell: everything that the plain and distilled runs of a contrast share."""
    return ["dataset", *factor_columns(rows), "provenance", "teacher", "student"]


def by_cell(rows: Iterable[Row], columns: Sequence[str]) -> dict[Cell, Runs]:
    """The runs of each cell (its values of ``columns``), in order of appearance.

    The same run may stand in several cells, and more than once in a cell. Raises ValueError if a cell holds
    two different runs of one method and seed.
    """
    cells: dict[Cell, Runs] = {}
    for row in rows:
        cell = tuple(row.get(column) for column in columns)
        seeds = cells.setdefault(cell, {}).setdefault(row["method"], {})
        other = seeds.setdefault(row["seed"], row)
        if other is not row and (row.get("run_id") is None or other.get("run_id") != row["run_id"]):
            raise ValueError(f"two runs of {row['method']!r} with seed {row['seed']} in one cell: {cell}")
    return cells


def pairs(distilled: dict[int, Row], plain: dict[int, Row], metric: str) -> list[tuple[Row, Row]]:
    """The (distilled, plain) rows of the seeds where both are done and have the metric, by seed."""

    def usable(row: Row) -> bool:
        return row["status"] == "done" and number(row, metric) is not None

    return [
        (distilled[seed], plain[seed])
        for seed in sorted(distilled.keys() & plain.keys())
        if usable(distilled[seed]) and usable(plain[seed])
    ]


def number(row: Row, column: str) -> float | None:
    """A measured value, or None if it is missing or NaN (a metric that does not apply to the run)."""
    value = row.get(column)
    return None if value is None or math.isnan(value) else float(value)


def resolution_of(found: Iterable[tuple[Row, Row]], metric: str) -> float | None:
    """The step of a metric that counts test images, 1 / ``n_test``; None for others or if it is not known, as
    for ``accuracy.NAME``: ``n_test`` counts the images of the primary test set."""
    if "." in metric or not METRICS[metric].counts_examples:
        return None
    sizes = [row["n_test"] for pair in found for row in pair if row.get("n_test")]
    return 1.0 / min(sizes) if sizes else None
