"""The committed tables that pages take their figures from, and how pages write numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pyarrow.parquet as pq
from generated import RESULTS, Record, gain_with_interval, read_csv

Row = Mapping[str, Any]


@cache
def results(study: str) -> tuple[Row, ...]:
    """Return the runs of a study."""
    return tuple(pq.read_table(RESULTS / f"{study}-results.parquet").to_pylist())


@cache
def effects(study: str) -> tuple[Row, ...]:
    """Return the contrasts of a study with plain training."""
    rows = pq.read_table(RESULTS / f"{study}-effects.parquet").to_pylist()
    return tuple(row for row in rows if row["baseline"] == "ce")


@cache
def level_effects(study: str) -> tuple[Row, ...]:
    """Return the differences between levels of the gains over plain training."""
    rows = pq.read_table(RESULTS / f"{study}-level-effects.parquet").to_pylist()
    return tuple(row for row in rows if row["baseline"] == "ce")


@cache
def records(name: str) -> tuple[Record, ...]:
    """Return the rows of a CSV file of results."""
    return tuple(read_csv(RESULTS / f"{name}.csv"))


def only(rows: Iterable[Row], **where: Any) -> list[Row]:
    """Return the rows with the given values; ``factor_size`` stands for the column ``factor.size``."""
    names = {name.replace("factor_", "factor."): value for name, value in where.items()}
    return [row for row in rows if all(row[name] == value for name, value in names.items())]


def one(rows: Iterable[Row], **where: Any) -> Row:
    """Return the only row with the given values."""
    [row] = only(rows, **where)
    return row


def percent(share: float) -> str:
    """Return a share in percent without the sign: ``82.7``."""
    return f"{100 * share:.1f}"


def interval(row: Row) -> str:
    """Return the gain of a contrast in points with its interval: ``+2.3 [1.2, 3.7]``."""
    scale = 1.0 if isinstance(row["gain"], str) else 100.0
    return gain_with_interval(*(scale * float(row[name]) for name in ("gain", "ci_low", "ci_high")))


def change(row: Row) -> str:
    """Return a difference between gains in points with its interval: ``10.4 points [7.0, 14.0]``."""
    value, low, high = (100 * row[name] for name in ("difference", "ci_low", "ci_high"))
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def points(row: Row) -> str:
    """Return the gain of a contrast in points with its sign: ``+2.3``."""
    return interval(row).partition(" ")[0]


def size(row: Row) -> str:
    """Return the gain of a contrast in points without its sign: ``2.3``."""
    return points(row)[1:]


def verdicts(rows: Iterable[Row], column: str = "verdict") -> Counter[str]:
    """Return how often each verdict occurs."""
    return Counter(str(row[column]) for row in rows)


def decided(rows: Iterable[Row], column: str = "verdict") -> int:
    """Return the number of verdicts that are not ``undecided``."""
    return sum(row[column] != "undecided" for row in rows)


def span(values: Iterable[float], form: str = "{:.1f}") -> tuple[str, str]:
    """Return the smallest and the largest value as text."""
    found = sorted(values)
    return form.format(found[0]), form.format(found[-1])
