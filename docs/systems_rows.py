"""What the tables of docs/systems/ share: rows of committed tables, and how their cells are written."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from generated import DOCS, RESULTS, gain_with_interval, table
from scipy import stats

from distillab.evidence import Row
from distillab.evidence.schema import read_rows
from distillab.factors.factor import level_text
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.tasks import parse_task

STUDIES = DOCS.parent / "studies" / "systems"
TABLES = RESULTS / "systems"
FACTOR = "factor."
NUMBERS = (
    *("plain, %", "distilled, %", "gain, points", "pairs", "verdict", "method"),
    "group alone, %",
    *("retention, %", "speed-up", "compression"),
)


def rows_of(study: str, name: str) -> list[Row]:
    """Return the rows of a committed table of a study; none if the study has not been run."""
    path, text = (TABLES / f"{study}-{name}.{suffix}" for suffix in ("parquet", "csv"))
    if text.exists():
        with text.open(newline="") as file:
            return list(csv.DictReader(file))
    return read_rows(path) if path.exists() else []


def percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal."""
    return "" if value is None else f"{100 * value:.1f}"


def points(row: Row, names: Sequence[str] = ("gain", "ci_low", "ci_high")) -> str:
    """Return a difference in points with its interval, or without one if it has none."""
    value, low, high = (None if row[name] is None else 100 * row[name] for name in names)
    if value is None:
        return ""
    return (
        f"{value:+.1f} [no interval]" if low is None or high is None else gain_with_interval(value, low, high)
    )


def levels_of(row: Row) -> str:
    """Return the levels of the factors of a row, such as ``size 10``."""
    return ", ".join(
        f"{name.removeprefix(FACTOR).replace('_', ' ')} {level_text(value)}"
        for name, value in row.items()
        if name.startswith(FACTOR) and value is not None
    )


def study_values(study: str) -> dict[str, Any]:
    """Return what the file of a study says."""
    values: dict[str, Any] = read_study_yaml(STUDIES / f"{study}.yaml")
    return values


def primary_of(study: str) -> str:
    """Return the primary metric of a study."""
    return parse_task(study_values(study).get("task", "classification")).primary


def with_used_columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table without the columns that are empty or the same in all of several rows, but numbers."""
    lines = [tuple(row) for row in rows]
    kept = [
        place
        for place, name in enumerate(head)
        if (name in NUMBERS and any(line[place] for line in lines))
        or len({line[place] for line in lines}) > 1
        or (len(lines) == 1 and lines[0][place])
    ]
    return table([head[place] for place in kept], [[line[place] for place in kept] for line in lines])


def mean_of_runs(results: Sequence[Row], place: Row, metric: str) -> float | None:
    """Return the mean of a metric over the runs of a method at a place."""
    names = [name for name in place if name.startswith(FACTOR)]
    names += [name for name in ("teacher", "student", "method", "provenance", "setting") if name in place]
    found = [
        row[metric]
        for row in results
        if row[metric] is not None and all(row.get(name) == place[name] for name in names)
    ]
    return float(np.mean(found)) if found else None


def over_seeds(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of several values with its 95 % interval, by Student's t."""
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def with_interval(values: Sequence[float]) -> str:
    """Return the mean of several fractions in percent with its interval over seeds; empty without values."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * each for each in over_seeds(values))) if values else ""
