"""Gains per class (or label) of every method, from a study's stored logits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from distillab.canonical import canonical_json
from distillab.evidence.draws import FloatArray
from distillab.evidence.harms import ClassHarm, Direction, class_harms
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.results import looks_of
from distillab.evidence.tuning import headline_cells
from distillab.evidence.verdicts import Verdict
from distillab.evidence.wording import Phrases
from distillab.factors import Level
from distillab.report.collect.rows import place_of
from distillab.report.contents.gains import ClassGain, ClassPanel
from distillab.report.contents.place import Place
from distillab.study.folder import StudyFolder
from distillab.study.spec.controls import control_labels

VERDICT_OF: dict[Direction, Verdict] = {"loses": "harms", "gains": "helps", "undecided": "undecided"}
ClassScores = Mapping[str, tuple[float, int]]  # class -> (metric, number of test examples)


def class_panels(
    folder: StudyFolder, effects: Sequence[Row], baseline: str, phrases: Phrases
) -> tuple[ClassPanel, ...]:
    """Return the gains per class of every method over the plain student, at every place.

    Those of distillation methods come first, then those of controls, each with the largest losses first.
    """
    controls = control_labels(folder.spec)
    measured, looks = Measurements(folder), looks_of(folder)
    task = measured.task
    by_group: dict[tuple[str, ...], dict[int, ClassScores]] = {}
    teachers: dict[tuple[str, ...], dict[int, str | None]] = {}
    for cell in headline_cells(measured.cells):
        scores = measured.per_class(cell)
        if scores is not None:
            group = _group(cell.levels, cell.provenance, cell.teacher, cell.student, cell.method)
            by_group.setdefault(group, {})[cell.seed] = scores
            teachers.setdefault(group, {})[cell.seed] = measured.teacher_of(cell)
    panels = []
    for row in effects:
        if row["metric"] != task.primary or row["baseline"] != baseline:
            continue
        levels = {key.removeprefix(FACTOR): value for key, value in row.items() if key.startswith(FACTOR)}
        distilled, plain = (
            by_group.get(_group(levels, row["provenance"], row["teacher"], row["student"], method), {})
            for method in (row["method"], baseline)
        )
        until = looks[(row["look"] or 1) - 1].seeds if looks else math.inf
        seeds = sorted(seed for seed in distilled.keys() & plain.keys() if seed < until)
        if seeds:
            confidence = row.get("confidence") or folder.spec.evidence.confidence
            steps = task.class_metric.counts_examples
            group = _group(levels, row["provenance"], row["teacher"], row["student"], row["method"])
            of = [teachers[group][seed] for seed in seeds]
            harms = _harms(distilled, plain, seeds, confidence, steps=steps, teachers=of if all(of) else None)
            panels.append(class_panel(place_of(row, phrases), row["method"], harms))
    panels.sort(
        key=lambda panel: (panel.method in controls, min((each.gain or 0.0) for each in panel.classes))
    )
    return tuple(panels)


def class_panel(
    place: Place, method: str, harms: Iterable[ClassHarm], n_train: Mapping[str, int] | None = None
) -> ClassPanel:
    """Return the panel of harms per class; ``n_train`` holds training examples by class name."""
    sizes = n_train or {}
    gains = tuple(
        ClassGain(
            h.name, h.gain, h.ci_low, h.ci_high, h.p_adjusted, sizes.get(h.name), VERDICT_OF[h.direction]
        )
        for h in harms
    )
    return ClassPanel(place, method, gains)


def _harms(
    distilled: Mapping[int, ClassScores],
    plain: Mapping[int, ClassScores],
    seeds: Sequence[int],
    confidence: float,
    *,
    steps: bool,
    teachers: Sequence[str | None] | None = None,
) -> list[ClassHarm]:
    """Return the harms per class; each class rests on the seeds that have it.

    Args:
        distilled: Scores by seed.
        plain: Scores by seed.
        seeds: Seeds with both runs. They may have selected different classes.
        confidence: Coverage of the intervals.
        steps: Whether the metric moves in steps of one test example of the class.
        teachers: The teacher of each seed; None for a method without one.
    """
    names = list(dict.fromkeys(name for seed in seeds for name in distilled[seed]))
    sizes = [max(distilled[s][name][1] for s in seeds if name in distilled[s]) for name in names]
    return class_harms(
        _by_class(distilled, seeds, names),
        _by_class(plain, seeds, names),
        names,
        resolution=1.0 / np.maximum(sizes, 1) if steps else None,
        confidence=confidence,
        teachers=teachers,
    )


def _by_class(runs: Mapping[int, ClassScores], seeds: Sequence[int], names: Sequence[str]) -> FloatArray:
    """Return scores ``[seeds, classes]``, NaN for a class that a seed does not have."""
    return np.array([[runs[seed].get(name, (np.nan, 0))[0] for name in names] for seed in seeds])


def _group(
    levels: Mapping[str, Level], provenance: str, teacher: str, student: str, method: str
) -> tuple[str, ...]:
    return canonical_json(levels), provenance, teacher, student, method
