"""The end of a study, when fewer jobs are left than would keep every processor at work until all are done."""

from __future__ import annotations

from collections.abc import Collection

import psutil

from distillab.nursery import usable_cores
from distillab.study.ledger import Ledger

ROOM = 2.0  # free memory that an extra worker must find, in times what the largest of the others takes


def extra_workers(ledger: Ledger, crew: Collection[int], workers: int, threads: int) -> int:
    """How many workers, of ``threads`` each, to add on a CPU to the ``crew`` (process ids), which is of
    ``workers`` as a rule.

    Where fewer jobs are queued than there are workers, these would not all end together: three jobs of a
    minute leave one of two processors idle during the last one. So what is left begins at once and shares
    the processors, which takes a minute and a half rather than two. What a job gives does not depend on its
    company. Nobody is added who would take more processors than were asked for, or memory that is not there.
    """
    everybody_computes = workers * threads >= usable_cores()
    if not everybody_computes or ledger.queued() >= workers:
        return 0
    idle = len(crew) - len(ledger.at_work() & set(crew))
    places = 2 * workers - 1 - len(crew)
    return max(0, min(ledger.ready() - idle, places, _room(crew)))


def _room(crew: Collection[int]) -> int:
    """Workers that memory has room for."""
    largest = max(map(_resident, crew), default=0)
    return int(psutil.virtual_memory().available / (ROOM * largest)) if largest else 0


def _resident(pid: int) -> int:
    """Bytes in memory of a process, those that it shares with others included; 0 if it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
