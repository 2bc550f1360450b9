"""From rows of ``results.parquet`` and ``effects.parquet`` to what a report shows of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from distillab.evidence.families import family_verdict
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.wording import PHRASES, Phrases, describe_level
from distillab.report.contents.cost import MethodCost
from distillab.report.contents.gains import Effect, LevelEffect, Number, Quality
from distillab.report.contents.place import LevelView, Place
from distillab.report.contents.runs import ExitView, GroupView, LabelView, Run
from distillab.tasks import Task

NOT_METRICS = ("n_train", "n_unlabelled", "params", "macs", "epochs", "train_seconds", "steps")


def place_of(row: Row, phrases: Phrases = PHRASES) -> Place:
    """Return the place of a row: its names and its ``factor.<name>`` columns, in column order."""
    levels = tuple(
        LevelView(key.removeprefix(FACTOR), row[key], describe_level(key, row[key], phrases))
        for key in row
        if key.startswith(FACTOR)
    )
    dataset, teacher, student, provenance = (
        str(row.get(key) or "") for key in ("dataset", "teacher", "student", "provenance")
    )
    return Place(dataset, teacher, student, provenance, levels)


def effects_of(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[Effect, ...]:
    """Return effects from rows of ``effects.parquet``."""
    ends = [f"{end}{of}" for of in ("", "_same_test", "_same_runs") for end in ("ci_low", "ci_high")]
    numbers = ("gain", *ends, "p_value", "p_adjusted", "gap_closed", "error_ratio")
    return tuple(
        Effect(
            place=place_of(row, phrases),
            method=row["method"],
            baseline=row["baseline"],
            metric=row["metric"],
            n_pairs=int(row["n_pairs"]),
            verdict=family_verdict(row),
            verdict_alone=row["verdict"],
            look=row.get("look"),
            undecided_because=row.get("undecided_because") or "",
            converged=row.get("converged"),
            convergence_note=row.get("convergence_note") or "",
            **{name: row.get(name) for name in numbers},
        )
        for row in rows
    )


def level_effects_of(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[LevelEffect, ...]:
    """Return differences between levels from rows of ``level_effects.parquet``."""
    intervals = ("ci_low", "ci_high", "ci_low_same_test", "ci_high_same_test")
    numbers = ("difference", *intervals, "gain", "gain_reference", "p_value", "p_adjusted")
    return tuple(
        LevelEffect(
            place=place_of({k: v for k, v in row.items() if k != f"{FACTOR}{row['factor']}"}, phrases),
            n_pairs=int(row["n_pairs"]),
            verdict=row["verdict_family"],
            verdict_alone=row["verdict"],
            undecided_because=row["undecided_because"] or "",
            **{name: row[name] for name in ("factor", "level", "reference", "method", "baseline", "metric")},
            **{name: row[name] for name in numbers},
        )
        for row in rows
    )


def runs_of(rows: Sequence[Row], task: Task, phrases: Phrases = PHRASES) -> tuple[Run, ...]:
    """Return runs from rows of ``results.parquet``."""
    columns = [*task.metrics, task.of_teacher, *NOT_METRICS, *task.metrics.of_further_tests(rows)]
    return tuple(
        Run(
            run_id=row["run_id"],
            place=place_of(row, phrases),
            method=row["method"],
            seed=int(row["seed"]),
            status=row["status"],
            measures={name: row[name] for name in columns if row.get(name) is not None},
        )
        for row in rows
    )


def qualities(runs: Sequence[Run]) -> tuple[Quality, ...]:
    """Return mean and standard deviation over the finished seeds of every method at every place."""
    groups: dict[tuple[Place, str], list[Run]] = {}
    for run in runs:
        if run.status == "done":
            groups.setdefault((run.place, run.method), []).append(run)
    columns = dict.fromkeys(name for run in runs for name in run.measures)
    return tuple(
        Quality(place, method, len(members), {name: mean_sd(_values(members, name)) for name in columns})
        for (place, method), members in groups.items()
    )


def _values(runs: Iterable[Run], name: str) -> list[float]:
    values = (run.measures.get(name) for run in runs)
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def mean_sd(values: Sequence[float]) -> tuple[Number, Number]:
    """Return mean and standard deviation, None where there are too few values."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def exits_of(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[ExitView, ...]:
    """Return every exit with its mean score over seeds, from rows of ``exits.parquet``."""
    groups: dict[tuple[Place, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((place_of(row, phrases), row["method"], row["exit"]), []).append(row)
    return tuple(
        ExitView(
            place,
            method,
            name,
            members[0]["params"],
            members[0]["macs"],
            *mean_sd([row["score"] for row in members if row["score"] is not None]),
            n=len(members),
        )
        for (place, method, name), members in groups.items()
    )


def label_views(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[LabelView, ...]:
    """Return every label with its mean score over seeds, from rows of ``labels.parquet``."""
    groups: dict[tuple[Place, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((place_of(row, phrases), row["method"], row["label"]), []).append(row)
    return tuple(
        LabelView(
            place,
            method,
            label,
            members[0]["n_test"],
            *mean_sd([row["score"] for row in members if row["score"] is not None]),
        )
        for (place, method, label), members in groups.items()
    )


def group_views(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[GroupView, ...]:
    """Return every group with its mean score over seeds, from rows of ``groups.parquet``."""
    groups: dict[tuple[Place, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((place_of(row, phrases), row["method"], row["group"]), []).append(row)
    return tuple(
        GroupView(
            place,
            method,
            group,
            members[0]["n_test"],
            *mean_sd([row["score"] for row in members if row["score"] is not None]),
        )
        for (place, method, group), members in groups.items()
    )


def method_costs(runs: Sequence[Run], plain: str) -> tuple[MethodCost, ...]:
    """Return mean seconds of a run by method, and their ratio to those of the method ``plain``."""
    done = [run for run in runs if run.status == "done"]
    mean = {
        method: mean_sd(_values((run for run in done if run.method == method), "train_seconds"))[0]
        for method in dict.fromkeys(run.method for run in done)
    }
    reference = mean.get(plain)
    return tuple(
        MethodCost(
            method,
            sum(run.method == method for run in done),
            seconds,
            seconds / reference if seconds is not None and reference else None,
        )
        for method, seconds in mean.items()
    )
