"""The tail of a study: fewer jobs are left than keep every processor at work until all are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import psutil

from distillab import machine
from distillab.forkserver import FORKED
from distillab.study.ledger import Ledger

MEMORY_FACTOR = 2.0  # free memory per extra worker, in multiples of the largest running one
WARM_UP_SECONDS = 10.0  # after which a worker's memory has about reached its final size


def age_and_memory(pid: int) -> tuple[float, int]:
    """Return the seconds that a process has been running and its resident bytes, shared ones included.

    Both are 0 for a process that has ended.
    """
    try:
        process = psutil.Process(pid)
        return time.time() - process.create_time(), int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0, 0


@dataclass(frozen=True)
class Host:
    """The facts about this machine that decide on extra workers.

    Attributes:
        cores: Returns the number of processors that may be used.
        free_memory: Returns the bytes of memory that new processes can have.
        age_and_memory: Returns age in seconds and resident bytes of a process.
        forked: Whether workers are forked from a prepared process, and so start at once.
    """

    cores: Callable[[], int] = machine.usable_cores
    free_memory: Callable[[], int] = machine.free_memory
    age_and_memory: Callable[[int], tuple[float, int]] = age_and_memory
    forked: bool = FORKED


def extra_workers(ledger: Ledger, crew: Collection[int], workers: int, threads: int, host: Host) -> int:
    """Return how many workers to add for the last jobs of a study on a CPU.

    Workers that get the last jobs do not end together: three jobs of a minute on two processors leave one
    processor idle during the third. Started at once, the three share the processors and end after a minute
    and a half instead of two. A job's result does not depend on what runs beside it.

    No worker is added beyond the requested processors or the free memory, nor where workers of several
    threads would wait for each other, or take seconds to start.

    Args:
        ledger: The study's ledger.
        crew: Process ids of the running workers.
        workers: The usual number of workers.
        threads: Compute threads per worker.
        host: Facts about this machine.
    """
    uses_all_cores = threads == 1 and workers >= host.cores()
    if not (host.forked and uses_all_cores) or ledger.queued() >= workers:
        return 0
    idle = len(crew) - len(ledger.busy_processes() & set(crew))
    wanted = min(ledger.ready() - idle, 2 * workers - 1 - len(crew))
    return min(wanted, _memory_room(crew, host)) if wanted > 0 else 0


def _memory_room(crew: Collection[int], host: Host) -> int:
    """Return how many workers memory has room for: none while one has just started and may still grow."""
    found = [host.age_and_memory(pid) for pid in crew]
    largest = max((memory for _, memory in found), default=0)
    if not largest or min(age for age, _ in found) < WARM_UP_SECONDS:
        return 0
    return int(host.free_memory() / (MEMORY_FACTOR * largest))
