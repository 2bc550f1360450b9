"""What sequential stopping saved, from looks, effects and runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distillab.evidence.sequential import Look
from distillab.report.contents.gains import Effect
from distillab.report.contents.runs import Run
from distillab.report.contents.stopping import Stopping


def stopping_of(
    looks: Sequence[Look], effects: Iterable[Effect], runs: Iterable[Run], metric: str
) -> Stopping | None:
    """Return what sequential stopping saved; None for a study with fixed seeds.

    Args:
        looks: The planned looks; empty for fixed seeds.
        effects: All contrasts of all metrics; those on ``metric`` are counted.
        runs: All runs of the plan. A run that belongs to several cells is counted once.
        metric: The metric on which the study stops.
    """
    if not looks:
        return None
    reached = [effect.look for effect in effects if effect.metric == metric]
    status = {run.run_id: run.status for run in runs if run.run_id}
    return Stopping(
        looks=tuple((look.seeds, look.confidence) for look in looks),
        needed=sum(looks[number - 1].seeds for number in reached if number),
        most=looks[-1].seeds * len(reached),
        spared=sum(each == "spared" for each in status.values()),
        runs=len(status),
        going_on=any(each in ("queued", "running", "held") for each in status.values()),
    )
