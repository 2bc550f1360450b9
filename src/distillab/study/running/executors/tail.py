"""The end of a study, when fewer jobs are left than would keep every processor at work until all are done."""

from __future__ import annotations

import time
from collections.abc import Collection

import psutil

from distillab.forkserver import FORKED
from distillab.machine import free_memory, usable_cores
from distillab.study.ledger.ledger import Ledger

ROOM = 2.0  # free memory that an extra worker must find, in times what the largest of the others takes
GROWN_SECONDS = 10.0  # after which a worker holds about as much memory as it is going to


def extra_workers(ledger: Ledger, crew: Collection[int], workers: int, threads: int) -> int:
    """How many workers, of ``threads`` each, to add on a CPU to the ``crew`` (process ids), which is of
    ``workers`` as a rule.

    Where fewer jobs are queued than there are workers, these would not all end together: three jobs of a
    minute leave one of two processors idle during the last one. So what is left begins at once and shares
    the processors, which takes a minute and a half rather than two. What a job gives does not depend on its
    company.

    Nobody is added who would take more processors than were asked for, or memory that is not there, nor
    where workers of several threads would wait for each other, or take seconds to be started.
    """
    everybody_computes = threads == 1 and workers >= usable_cores()
    if not (FORKED and everybody_computes) or ledger.queued() >= workers:
        return 0
    idle = len(crew) - len(ledger.at_work() & set(crew))
    wanted = min(ledger.ready() - idle, 2 * workers - 1 - len(crew))
    return min(wanted, _room(crew)) if wanted > 0 else 0


def _room(crew: Collection[int]) -> int:
    """Workers that memory has room for: none while it cannot be told, since somebody has just begun."""
    found = [_age_and_memory(pid) for pid in crew]
    largest = max((memory for _, memory in found), default=0)
    if not largest or min(age for age, _ in found) < GROWN_SECONDS:
        return 0
    return int(free_memory() / (ROOM * largest))


def _age_and_memory(pid: int) -> tuple[float, int]:
    """Seconds that a process has run, and its bytes in memory, those that it shares with others included; of
    one that has just ended, none."""
    try:
        process = psutil.Process(pid)
        return time.time() - process.create_time(), int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0, 0
