"""A worker: claims jobs from the ledger, runs them, and records how they ended."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from distillab.errors import LESS_MEMORY, DiskFullError, RequestError
from distillab.machine import tune_allocator
from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import HEARTBEAT_SECONDS
from distillab.study.running.job_runner import JobRunner
from distillab.study.running.lost import put_back_needed
from distillab.study.store import raising_disk_full
from distillab.training.loop.results import DivergenceError
from distillab.training.numerics.device import empty_device_cache, is_gpu_lost, is_out_of_memory, pick_device

IDLE_SECONDS = 0.05


def work(folder: StudyFolder, device: str, *, stop: Callable[[], bool]) -> None:
    """Run jobs until none is open, waiting for those that other workers run.

    Every worker computes with the study's number of threads, so that a study gives the same numbers with
    every executor.

    Args:
        folder: The study.
        device: Where to compute.
        stop: Called between jobs; True ends the worker.

    Raises:
        DiskFullError: There is no space left; the current job is put back.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(folder.spec.worker_threads)
    tune_allocator()
    try:
        runner = JobRunner(folder, pick_device(device))
        with folder.ledger() as ledger, raising_disk_full(folder.path):
            while not stop():
                jobs = ledger.claim()
                if jobs:
                    _run(runner, ledger, jobs)
                elif ledger.open_jobs() == 0:
                    return
                # An idle worker may find a dead one before the executor does. The death counts against the
                # job here too, so that a job that kills its workers is eventually marked as failed.
                elif ledger.reclaim(count_death=True) == 0:
                    time.sleep(IDLE_SECONDS)
    finally:
        torch.set_num_threads(before)


def _run(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> None:
    try:
        with raising_disk_full(runner.folder.path):
            _attempt(runner, ledger, jobs)
    except (DiskFullError, KeyboardInterrupt):
        for job in jobs:
            ledger.release(job.id)
        raise


def _attempt(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> None:
    """Run one job, or a cohort of students. If a cohort raises an error, each student is run alone."""
    with Heartbeat(ledger.path, [job.id for job in jobs]):
        error = _run_together(runner, ledger, jobs)
        if error is None:
            return
        # By now nothing refers to what was in memory when the error was raised.
        empty_device_cache(runner.device)
        for job in jobs:
            error = error if len(jobs) == 1 else _run_together(runner, ledger, [job])
            if error is not None:
                ledger.fail(job.id, error)


def _run_together(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> str | None:
    """Run jobs and record how each ended. Return the error, formatted, if it ended all of them.

    If what they read is damaged or missing and can be made again, they wait in the queue until it was."""
    try:
        results = runner.run(jobs)
    except DiskFullError:
        raise
    except Exception as error:
        if is_gpu_lost(error):
            _give_up(ledger, jobs, error)
            raise  # every other job would fail in this process; another one has to run them
        if put_back_needed(runner.folder, ledger, jobs, error):
            return None
        return format_error(error)
    for name, result in results.items():
        if isinstance(result, DivergenceError):
            ledger.fail(name, format_error(result))
        else:
            ledger.done(name, result)
    return None


def _give_up(ledger: Ledger, jobs: list[Job], error: Exception) -> None:
    """Fail a job that lost the device; put back a cohort, whose members are then run alone."""
    for job in jobs:
        if len(jobs) == 1:
            ledger.fail(job.id, format_error(error))
        else:
            ledger.release(job.id, count_death=True)


def format_error(error: Exception) -> str:
    """Return the error and the line that raised it, short enough for a table.

    Example:
        >>> format_error(ValueError("no such class"))
        'ValueError: no such class'
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    if is_out_of_memory(error):
        return f"out of memory: {LESS_MEMORY}{place}"
    return f"{type(error).__name__}: {error}{place}"


class Heartbeat:
    """Renews the lease on jobs from a thread and a connection of its own while the ``with`` block runs.

    A heartbeat that the ledger refuses (it is locked or damaged, the disk is full) is skipped, and the next
    one makes up for it. If none succeeds, another worker runs the jobs as well, with the same result.

    Args:
        path: The ledger's file.
        jobs: Ids of the jobs.
        every: Seconds between heartbeats.
    """

    def __init__(self, path: Path, jobs: Sequence[str], *, every: float = HEARTBEAT_SECONDS) -> None:
        self._path, self._jobs, self._every = path, jobs, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        # Most test-sized jobs end before the first heartbeat and need no connection.
        while not self._ended.wait(self._every):
            with contextlib.suppress(sqlite3.OperationalError, RequestError), Ledger(self._path) as ledger:
                for job in self._jobs:
                    ledger.heartbeat(job)
