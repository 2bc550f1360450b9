"""From rows of ``results.parquet`` and ``effects.parquet`` to the views of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from distillab.evidence.harms import ClassHarm
from distillab.evidence.wording import PHRASES, Phrases, describe_level
from distillab.report.contents.study import (
    Cell,
    ClassGain,
    ClassPanel,
    Curve,
    DosePanel,
    Effect,
    Level,
    MethodCost,
    Number,
    Point,
    Quality,
    Run,
    Verdict,
)
from distillab.report.page import wording
from distillab.tasks.classification import METRICS

Row = Mapping[str, Any]

FACTOR = "factor."
MEASURES = (
    "n_train",
    "n_unlabelled",
    "accuracy",
    "accuracy_selected",
    "balanced_accuracy",
    "macro_f1",
    "worst_class_accuracy",
    "worst_group_accuracy",
    "head_accuracy",
    "middle_accuracy",
    "tail_accuracy",
    "nll",
    "brier",
    "ece",
    "agreement",
    "teacher_kl",
    "teacher_accuracy",
    "params",
    "macs",
    "epochs",
    "train_seconds",
)
OPEN_PANELS = 2  # of a factor's panels, how many stand open


def cell_of(row: Row, phrases: Phrases = PHRASES) -> Cell:
    """The cell of a row: its names and its ``factor.<name>`` columns, in column order."""
    levels = tuple(
        Level(key.removeprefix(FACTOR), row[key], describe_level(key, row[key], phrases))
        for key in row
        if key.startswith(FACTOR)
    )
    dataset, teacher, student, provenance = (
        str(row.get(key) or "") for key in ("dataset", "teacher", "student", "provenance")
    )
    return Cell(dataset, teacher, student, provenance, levels)


def effects_of(rows: Iterable[Row], phrases: Phrases = PHRASES) -> tuple[Effect, ...]:
    """Effects from rows of ``effects.parquet``."""
    numbers = ("gain", "ci_low", "ci_high", "p_value", "p_adjusted", "gap_closed", "error_ratio")
    return tuple(
        Effect(
            cell=cell_of(row, phrases),
            method=row["method"],
            baseline=row["baseline"],
            metric=row["metric"],
            n_pairs=int(row["n_pairs"]),
            verdict=row["verdict"],
            look=row.get("look"),
            **{name: row.get(name) for name in numbers},
        )
        for row in rows
    )


def runs_of(rows: Sequence[Row], phrases: Phrases = PHRASES) -> tuple[Run, ...]:
    """Runs from rows of ``results.parquet``."""
    measures = [*MEASURES, *METRICS.of_further_tests(rows)]
    return tuple(
        Run(
            run_id=row["run_id"],
            cell=cell_of(row, phrases),
            method=row["method"],
            seed=int(row["seed"]),
            status=row["status"],
            measures={name: row[name] for name in measures if row.get(name) is not None},
        )
        for row in rows
    )


def qualities(runs: Sequence[Run]) -> tuple[Quality, ...]:
    """Mean and standard deviation over the seeds of every method in every cell, of the runs done."""
    groups: dict[tuple[Cell, str], list[Run]] = {}
    for run in runs:
        if run.status == "done":
            groups.setdefault((run.cell, run.method), []).append(run)
    measures = dict.fromkeys([*MEASURES, *(name for run in runs for name in run.measures)])
    return tuple(
        Quality(cell, method, len(members), {name: _mean_sd(_values(members, name)) for name in measures})
        for (cell, method), members in groups.items()
    )


def _values(runs: Iterable[Run], name: str) -> list[float]:
    values = (run.measures.get(name) for run in runs)
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _mean_sd(values: Sequence[float]) -> tuple[Number, Number]:
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


CHANGES: dict[str, Verdict] = {"loses": "harms", "gains": "helps", "undecided": "undecided"}


def class_panel(
    cell: Cell, method: str, harms: Iterable[ClassHarm], n_train: Mapping[str, int] | None = None
) -> ClassPanel:
    """A panel from what :func:`distillab.evidence.harms.class_harms` found; ``n_train`` by class name."""
    sizes = n_train or {}
    gains = tuple(
        ClassGain(h.name, h.gain, h.ci_low, h.ci_high, h.p_adjusted, sizes.get(h.name), CHANGES[h.direction])
        for h in harms
    )
    return ClassPanel(cell, method, gains)


def method_costs(runs: Sequence[Run], plain: str) -> tuple[MethodCost, ...]:
    """Mean seconds of a run by method, and its ratio to that of the method called ``plain``."""
    done = [run for run in runs if run.status == "done"]
    mean = {
        method: _mean_sd(_values((run for run in done if run.method == method), "train_seconds"))[0]
        for method in dict.fromkeys(run.method for run in done)
    }
    return tuple(
        MethodCost(
            method,
            sum(run.method == method for run in done),
            seconds,
            wording.ratio(seconds, mean.get(plain)),
        )
        for method, seconds in mean.items()
    )


def dose_panels(
    effects: Iterable[Effect], runs: Sequence[Run], metric: str = "accuracy", baseline: str = "ce"
) -> tuple[DosePanel, ...]:
    """A panel for every factor at every setting of what else varies: its gains and, from runs, accuracies.

    Methods without a teacher stand in every panel of their data set, student and other levels. A factor with
    a single level has no panel.
    """
    primary = [effect for effect in effects if effect.metric == metric and effect.baseline == baseline]
    naming = wording.Naming.of(effect.cell for effect in primary)
    factors = [factor for factor, levels in _levels_by_factor(primary).items() if len(levels) > 1]
    panels: list[DosePanel] = []
    for factor in factors:
        some = [effect for effect in primary if effect.cell.value(factor) is not None]
        held = list(dict.fromkeys(_without(effect.cell, factor) for effect in some))
        taught = [cell for cell in held if cell.teacher or cell.provenance] or held
        for i, fixed in enumerate(taught):
            mine = [e for e in some if _belongs(_without(e.cell, factor), fixed)]
            others = wording.levels_text(fixed.levels) if fixed.levels else ""
            words = " · ".join(filter(None, [naming.group(fixed), others]))
            panels.append(
                DosePanel(
                    factor,
                    words,
                    _gain_curves(mine, factor),
                    _accuracy_curves(mine, runs, factor, fixed),
                    main=len(taught) <= OPEN_PANELS + 1 or i < OPEN_PANELS,
                )
            )
    return tuple(panels)


def _levels_by_factor(effects: Iterable[Effect]) -> dict[str, set[float | str]]:
    found: dict[str, set[float | str]] = {}
    for effect in effects:
        for level in effect.cell.levels:
            if level.value is not None:
                found.setdefault(level.factor, set()).add(level.value)
    return found


def _without(cell: Cell, factor: str) -> Cell:
    levels = tuple(level for level in cell.levels if level.factor != factor)
    return Cell(cell.dataset, cell.teacher, cell.student, cell.provenance, levels)


def _belongs(cell: Cell, fixed: Cell) -> bool:
    """Whether a cell (without the panel's factor) is drawn in the panel of ``fixed``."""
    same = (cell.dataset, cell.student, cell.levels) == (fixed.dataset, fixed.student, fixed.levels)
    untaught = not (cell.teacher or cell.provenance)
    return same and (untaught or (cell.teacher, cell.provenance) == (fixed.teacher, fixed.provenance))


def _gain_curves(effects: Sequence[Effect], factor: str) -> tuple[Curve, ...]:
    curves = []
    for method in dict.fromkeys(effect.method for effect in effects):
        points = [
            Point(level, effect.gain, effect.ci_low, effect.ci_high, effect.n_pairs)
            for effect in effects
            if effect.method == method and (level := effect.cell.value(factor)) is not None
        ]
        curves.append(Curve(method, _ordered(points)))
    return tuple(curves)


def _accuracy_curves(
    effects: Sequence[Effect], runs: Sequence[Run], factor: str, fixed: Cell
) -> tuple[Curve, ...]:
    """Teacher, plain twin and methods: means over the runs done, with 95 % t intervals over seeds."""
    baselines = {effect.baseline for effect in effects}
    methods = {effect.method for effect in effects}
    series: dict[tuple[str, str], dict[float | str, list[float]]] = {}
    teachers: dict[float | str, list[float]] = {}
    for run in runs:
        level, cell = run.cell.value(factor), _without(run.cell, factor)
        accuracy = run.measures.get("accuracy")
        if run.status != "done" or level is None or accuracy is None or not math.isfinite(accuracy):
            continue
        if run.method not in baselines | methods or not _belongs(cell, fixed):
            continue
        role = "plain" if run.method in baselines else "distilled"
        series.setdefault((role, run.method), {}).setdefault(level, []).append(accuracy)
        if role == "distilled":
            taught = run.measures.get("teacher_accuracy")
            if taught is not None and math.isfinite(taught):
                teachers.setdefault(level, []).append(taught)
    curves = [Curve("teacher", _points(teachers), "teacher")] if teachers else []
    curves += [
        Curve(name, _points(levels), "plain") for (role, name), levels in series.items() if role == "plain"
    ]
    curves += [Curve(name, _points(levels)) for (role, name), levels in series.items() if role == "distilled"]
    return tuple(curves)


def _points(levels: Mapping[float | str, Sequence[float]]) -> tuple[Point, ...]:
    points = []
    for level, values in levels.items():
        mean, sd = _mean_sd(values)
        half = None if sd is None else stats.t.ppf(0.975, len(values) - 1) * sd / math.sqrt(len(values))
        low, high = (None, None) if mean is None or half is None else (float(mean - half), float(mean + half))
        points.append(Point(level, mean, low, high, len(values)))
    return _ordered(points)


def _ordered(points: Sequence[Point]) -> tuple[Point, ...]:
    """By level where levels are numbers, else as they came."""
    if any(isinstance(point.level, str) for point in points):
        return tuple(points)
    return tuple(sorted(points, key=lambda point: float(point.level)))
