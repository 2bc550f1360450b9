"""Dose-response panels: gains and scores over the levels of each factor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from scipy import stats

from distillab.report.collect.rows import mean_sd
from distillab.report.contents.gains import CurveView, DosePanel, Effect, Point
from distillab.report.contents.place import Naming, Place, levels_text
from distillab.report.contents.runs import Run
from distillab.tasks import Task

OPEN_PANELS = 2  # of the panels of a factor, how many are open
SeedValues = dict[float | str, list[float]]  # level -> values of the seeds


def dose_panels(
    effects: Iterable[Effect], runs: Sequence[Run], task: Task, baseline: str = "ce"
) -> tuple[DosePanel, ...]:
    """Return one panel per factor and setting of everything else that varies.

    A panel has the gains in the primary metric and, from runs, the metric itself. Methods without a teacher
    are in every panel of their dataset, student and other levels. A factor with a single level has no panel.

    Args:
        effects: All contrasts; those of the primary metric against ``baseline`` are used.
        runs: All runs.
        task: The task of the study.
        baseline: The method of the plain students.
    """
    primary = [effect for effect in effects if effect.metric == task.primary and effect.baseline == baseline]
    naming = Naming.of(effect.place for effect in primary)
    factors = [factor for factor, levels in _levels_by_factor(primary).items() if len(levels) > 1]
    panels: list[DosePanel] = []
    for factor in factors:
        some = [effect for effect in primary if effect.place.value(factor) is not None]
        held = list(dict.fromkeys(effect.place.without(factor) for effect in some))
        taught = [place for place in held if place.teacher or place.provenance] or held
        for i, fixed in enumerate(taught):
            mine = [effect for effect in some if _belongs(effect.place.without(factor), fixed)]
            others = levels_text(fixed.levels) if fixed.levels else ""
            panels.append(
                DosePanel(
                    factor,
                    " · ".join(filter(None, [naming.group(fixed), others])),
                    _gain_curves(mine, factor),
                    _score_curves(mine, runs, task, factor, fixed),
                    main=len(taught) <= OPEN_PANELS + 1 or i < OPEN_PANELS,
                )
            )
    return tuple(panels)


def _levels_by_factor(effects: Iterable[Effect]) -> dict[str, set[float | str]]:
    found: dict[str, set[float | str]] = {}
    for effect in effects:
        for level in effect.place.levels:
            if level.value is not None:
                found.setdefault(level.factor, set()).add(level.value)
    return found


def _belongs(place: Place, fixed: Place) -> bool:
    """Return True if a place (without the panel's factor) is drawn in the panel of ``fixed``."""
    same = (place.dataset, place.student, place.levels) == (fixed.dataset, fixed.student, fixed.levels)
    untaught = not (place.teacher or place.provenance)
    return same and (untaught or (place.teacher, place.provenance) == (fixed.teacher, fixed.provenance))


def _gain_curves(effects: Sequence[Effect], factor: str) -> tuple[CurveView, ...]:
    curves = []
    for method in dict.fromkeys(effect.method for effect in effects):
        points = [
            Point(level, effect.gain, effect.ci_low, effect.ci_high, effect.n_pairs)
            for effect in effects
            if effect.method == method and (level := effect.place.value(factor)) is not None
        ]
        curves.append(CurveView(method, _ordered(points)))
    return tuple(curves)


def _score_curves(
    effects: Sequence[Effect], runs: Sequence[Run], task: Task, factor: str, fixed: Place
) -> tuple[CurveView, ...]:
    """Return the primary metric of teacher, plain student and methods: means with 95 % t intervals."""
    baselines = {effect.baseline for effect in effects}
    methods = {effect.method for effect in effects}
    plain: dict[str, SeedValues] = {}
    distilled: dict[str, SeedValues] = {}
    teachers: SeedValues = {}
    for run in runs:
        level, score = run.place.value(factor), run.measures.get(task.primary)
        if run.status != "done" or level is None or score is None or not math.isfinite(score):
            continue
        if run.method not in baselines | methods or not _belongs(run.place.without(factor), fixed):
            continue
        group = plain if run.method in baselines else distilled
        group.setdefault(run.method, {}).setdefault(level, []).append(score)
        of_teacher = run.measures.get(task.of_teacher)
        if group is distilled and of_teacher is not None and math.isfinite(of_teacher):
            teachers.setdefault(level, []).append(of_teacher)
    curves = [CurveView("teacher", _points(teachers), "teacher")] if teachers else []
    curves += [CurveView(name, _points(levels), "plain") for name, levels in plain.items()]
    curves += [CurveView(name, _points(levels)) for name, levels in distilled.items()]
    return tuple(curves)


def _points(levels: Mapping[float | str, Sequence[float]]) -> tuple[Point, ...]:
    points = []
    for level, values in levels.items():
        mean, sd = mean_sd(values)
        half = None if sd is None else stats.t.ppf(0.975, len(values) - 1) * sd / math.sqrt(len(values))
        low, high = (None, None) if mean is None or half is None else (float(mean - half), float(mean + half))
        points.append(Point(level, mean, low, high, len(values)))
    return _ordered(points)


def _ordered(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return points by level if levels are numbers, else in the given order."""
    if any(isinstance(point.level, str) for point in points):
        return tuple(points)
    return tuple(sorted(points, key=lambda point: float(point.level)))
