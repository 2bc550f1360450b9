"""The family of comparisons of a planned study: how many are corrected together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from distillab.evidence.conclusions import compute_conclusions, reference_levels
from distillab.evidence.pairs import Row, level_columns
from distillab.evidence.tuning import headline_cells
from distillab.study.design import Cell
from distillab.study.spec.study import StudySpec

_SEEDS = 2  # the number of seeds does not change that of tests


def planned_tests(spec: StudySpec, cells: Iterable[Cell]) -> int:
    """Return how many comparisons are corrected together; 0 if no gain is among them.

    They are those on the primary metric, or on that which the declared contrasts name. They are counted by
    the code that will correct them, on runs whose scores are made up.

    Args:
        spec: The study.
        cells: The cells of its plan.

    Example:
        >>> small = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> spec = StudySpec(**small, students="resnet8", methods=["kd", "dkd"], seeds=5)
        >>> place = dict(levels={}, provenance="full", teacher="resnet8", student="resnet8", n_train=9)
        >>> planned_tests(spec, (
        ...     Cell(**place, method=method, seed=seed, run=f"{method} {seed}")
        ...     for method in ("ce", "kd", "dkd") for seed in range(5)
        ... ))
        2
    """
    planned = [cell for cell in headline_cells(list(cells)) if cell.run and cell.seed in _first(spec)]
    task, baseline = spec.task_config(), spec.evidence.baselines[0]
    if not any(cell.method == baseline for cell in planned):
        return 0
    metrics = dict.fromkeys([task.primary, *(each.metric for each in spec.evidence.contrasts if each.metric)])
    scores = _scores({cell.run_id for cell in planned})
    found = compute_conclusions(
        [_row(cell, metrics, scores[cell.run_id]) for cell in planned],
        task,
        spec.evidence.model_copy(update={"baselines": (baseline,)}),
        references=reference_levels(spec.factor_levels()),
    )
    return max((row.get("n_tests") or 0 for row in found.effects), default=0)


def _first(spec: StudySpec) -> tuple[int, ...]:
    return tuple(spec.seed_list[:_SEEDS])


def _scores(runs: set[str]) -> dict[str, float]:
    """Return a score of its own for each run, as tests are told apart by their runs and values."""
    rng = np.random.default_rng(0)
    return dict(zip(sorted(runs), rng.random(len(runs)).tolist(), strict=True))


def _row(cell: Cell, metrics: Iterable[str], score: float) -> Row:
    """Return the result row that a cell would have."""
    return {
        "run_id": cell.run_id,
        **level_columns(cell.levels),
        "provenance": cell.provenance,
        "teacher": cell.teacher,
        "student": cell.student,
        "method": cell.method,
        "seed": cell.seed,
        "status": "done",
        **dict.fromkeys(metrics, score),
    }
