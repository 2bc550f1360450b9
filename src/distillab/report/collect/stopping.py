"""From looks, effects and runs to what the report shows of a study that stopped when it was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distillab.evidence.sequential import Look
from distillab.report.contents.stopping import Stopping
from distillab.report.contents.study import Effect, Run
from distillab.report.page.tables import Column, Entry, Table, verdict_entry
from distillab.report.page.wording import DASH, Naming
from distillab.tasks import Classification


def stopping_of(looks: Sequence[Look], effects: Iterable[Effect], runs: Iterable[Run]) -> Stopping | None:
    """What was saved; None for a study with fixed seeds.

    Args:
        looks: the planned ones; empty for fixed seeds.
        effects: all contrasts of all metrics; each is counted once, where it is about accuracy.
        runs: every run of the plan. One that stands in several cells is counted once.
    """
    if not looks:
        return None
    reached = [effect.look for effect in effects if effect.metric == Classification.primary]
    status = {run.run_id: run.status for run in runs if run.run_id}
    return Stopping(
        looks=tuple((look.seeds, look.confidence) for look in looks),
        needed=sum(looks[number - 1].seeds for number in reached if number),
        most=looks[-1].seeds * len(reached),
        spared=sum(each == "spared" for each in status.values()),
        runs=len(status),
        going_on=any(each in ("queued", "running", "held") for each in status.values()),
    )


def stopping_table(stopping: Stopping | None, effects: Iterable[Effect]) -> Table:
    """One row a contrast on accuracy: at which look it stopped, and with what verdict."""
    shown = [effect for effect in effects if stopping and effect.metric == Classification.primary]
    naming = Naming.of(effect.cell for effect in shown)
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Against"),
        Column("Seeds", True, "of the look that the verdict and the interval belong to"),
        Column("Verdict"),
    )
    rows = []
    for effect in shown:
        seeds = stopping.seeds(effect.look) if stopping else None
        rows.append(
            (
                Entry(naming.full(effect.cell)),
                Entry(effect.method),
                Entry(effect.baseline),
                Entry(DASH if seeds is None else str(seeds), seeds),
                verdict_entry(effect.verdict),
            )
        )
    return Table("stopping-table", "After how many seeds each contrast stood", columns, tuple(rows))
