"""Interim analysis of a study with sequential stopping: which held runs to queue and which to spare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distillab.evidence.contrast import Contributions, covering_draws
from distillab.evidence.effects import contrasts
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import Row, SeedRows, by_cell, cell_columns
from distillab.evidence.results import looks_of
from distillab.evidence.sequential import ContrastState, Look, contrast_state
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY
from distillab.tasks import Metric

WAITING = frozenset(state for state in JobState if state.is_withheld)


def interim_analysis(folder: StudyFolder) -> bool:
    """Queue the next seeds of contrasts without a verdict, and spare those of the others.

    Call it when no job is open. The queued jobs depend on finished runs alone, so an analysis that was
    interrupted, or that two processes carry out at the same time, ends the same. A study with fixed seeds has
    nothing to decide.

    Returns:
        Whether jobs are open now.

    Raises:
        sqlite3.OperationalError: The ledger cannot be written.
    """
    looks, task = looks_of(folder), folder.spec.task_config()
    evidence = folder.spec.evidence
    while looks:
        measurements = Measurements(folder)
        wanted, possible = runs_needed(
            measurements.rows(),
            evidence.baselines,
            looks,
            task.metrics[task.primary],
            evidence.margin,
            covering_draws(measurements.contributions, task, folder.dataset.eval[PRIMARY]),
        )
        with folder.ledger() as ledger:
            if ledger.admit(wanted, possible):
                return True
        if not wanted:
            break  # otherwise all wanted runs depend on failed jobs: analyze again without them
    return False


def runs_needed(
    rows: Sequence[Row],
    baselines: Sequence[str],
    looks: Sequence[Look],
    metric: Metric,
    margin: float,
    contributions: Contributions | None = None,
) -> tuple[set[str], set[str]]:
    """Return which waiting runs undecided contrasts need.

    A plain run is needed as long as any contrast of its cell needs it; the other runs of the cell are not.

    Returns:
        The ids of the waiting runs of the next look, and the ids of those that this look or a later one may
        need.
    """
    wanted: set[str] = set()
    possible: set[str] = set()
    for distilled, plain, state in _contrast_states(rows, baselines, looks, metric, margin, contributions):
        if state.decided:
            continue
        following = [look.seeds for look in looks if look.number > state.look.number]
        until = state.look.seeds if not state.complete else following[0] if following else 0
        for side in (distilled, plain):
            waiting = {seed: row["run_id"] for seed, row in side.items() if row["status"] in WAITING}
            possible |= set(waiting.values())
            wanted |= {run for seed, run in waiting.items() if seed < until}
    return wanted, possible


def _contrast_states(
    rows: Sequence[Row],
    baselines: Sequence[str],
    looks: Sequence[Look],
    metric: Metric,
    margin: float,
    contributions: Contributions | None,
) -> Iterator[tuple[SeedRows, SeedRows, ContrastState]]:
    for runs in by_cell(rows, cell_columns(rows)).values():
        for method, baseline in contrasts(runs, baselines):
            distilled, plain = runs[method], runs[baseline]
            state = contrast_state(distilled, plain, looks, metric, margin, contributions)
            yield distilled, plain, state
