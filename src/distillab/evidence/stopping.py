"""A look at a study that stops when it is decided: which held runs it still needs, and which are spared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distillab.evidence.effects import contrasts
from distillab.evidence.pairs import Row, by_cell, cell_columns
from distillab.evidence.results import Measurements, looks_of
from distillab.evidence.sequential import Look, Standing, standing
from distillab.study.folder import StudyFolder

WAITING = frozenset({"held", "spared"})


def interim_analysis(folder: StudyFolder) -> bool:
    """When no job is open: queue the next seeds of contrasts without a verdict, spare those of the others.

    What is queued follows from the finished runs alone, so a look that was interrupted, or that two processes
    take at once, ends the same. A study with fixed seeds has nothing to decide.

    Returns:
        Whether jobs are open now.

    Raises:
        sqlite3.OperationalError: the ledger cannot be written.
    """
    looks, spec = looks_of(folder), folder.spec
    while looks:
        rows = Measurements(folder).rows()
        wanted, possible = runs_needed(rows, spec.evidence.baselines, looks, spec.evidence.margin)
        with folder.ledger() as ledger:
            if ledger.admit(wanted, possible):
                return True
        if not wanted:
            break  # else all that was wanted needs something that failed: look again without it
    return False


def runs_needed(
    rows: Sequence[Row], baselines: Sequence[str], looks: Sequence[Look], margin: float
) -> tuple[set[str], set[str]]:
    """(ids of the waiting runs of the next look of every contrast without a verdict, ids of those that this
    look or a later one may need).

    A plain run goes on while any contrast of its cell needs it; the others of the cell do not.
    """
    wanted: set[str] = set()
    possible: set[str] = set()
    for distilled, plain, stand in _standings(rows, baselines, looks, margin):
        if stand.decided:
            continue
        following = [look.seeds for look in looks if look.number > stand.look.number]
        until = stand.look.seeds if not stand.complete else following[0] if following else 0
        for side in (distilled, plain):
            waiting = {seed: row["run_id"] for seed, row in side.items() if row["status"] in WAITING}
            possible |= set(waiting.values())
            wanted |= {run for seed, run in waiting.items() if seed < until}
    return wanted, possible


def _standings(
    rows: Sequence[Row], baselines: Sequence[str], looks: Sequence[Look], margin: float
) -> Iterator[tuple[dict[int, Row], dict[int, Row], Standing]]:
    for runs in by_cell(rows, cell_columns(rows)).values():
        for method, baseline in contrasts(runs, baselines):
            yield runs[method], runs[baseline], standing(runs[method], runs[baseline], looks, margin)
