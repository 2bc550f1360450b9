"""The wall time of a plan: its jobs on several workers, in the order in which workers claim them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from distillab.study.job import MAX_COHORT, Job


def wall_seconds(jobs: Iterable[Job], seconds: Callable[[Job], float], workers: int) -> float:
    """Return the wall time of jobs on some workers: each takes the first job, in planned order, that waits
    for no other.

    Workers are not all at work all the time: students wait for their teacher, and the last jobs do not end
    together. A cohort is the work of one worker.

    Args:
        jobs: The jobs in planned order, each after those it needs. Needs that are not among them are done.
        seconds: The time of a job on one worker.
        workers: Number of workers.

    Example:
        >>> wall_seconds([], lambda job: 1.0, workers=2)
        0.0
    """
    units = _units(jobs, seconds)
    ready = [place for place, unit in enumerate(units) if not unit.waiting]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            place = heapq.heappop(ready)
            heapq.heappush(running, (now + units[place].seconds, place))
        now, ended = heapq.heappop(running)
        for follower in units[ended].followers:
            units[follower].waiting -= 1
            if not units[follower].waiting:
                heapq.heappush(ready, follower)
    return now


@dataclass(eq=False)
class _Unit:
    """What one worker claims at once: a job, or students of a cohort."""

    seconds: float = 0.0
    jobs: int = 0
    waiting: int = 0
    followers: list[int] = field(default_factory=list)


def _units(jobs: Iterable[Job], seconds: Callable[[Job], float]) -> list[_Unit]:
    units: list[_Unit] = []
    unit_of: dict[str, int] = {}
    open_cohorts: dict[str, int] = {}
    needs: defaultdict[int, set[int]] = defaultdict(set)
    for job in jobs:
        place = open_cohorts.get(job.cohort) if job.cohort else None
        if place is None or units[place].jobs == MAX_COHORT:
            place = len(units)
            units.append(_Unit())
            open_cohorts[job.cohort] = place
        unit_of[job.id] = place
        units[place].jobs += 1
        units[place].seconds += seconds(job)
        needs[place] |= {unit_of[need] for need in job.needs if need in unit_of} - {place}
    for place, needed in needs.items():
        units[place].waiting = len(needed)
        for each in needed:
            units[each].followers.append(place)
    return units
