"""A worker: claims jobs from the ledger, does them, enters how they ended."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from distillab.errors import DiskFullError
from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import HEARTBEAT_SECONDS, Job, Ledger
from distillab.study.running.job_runner import JobRunner
from distillab.study.store import raising_disk_full
from distillab.training.loop.results import DivergenceError
from distillab.training.numerics.config import tune_allocator
from distillab.training.numerics.device import empty_device_cache, is_gpu_lost, pick_device

IDLE_SECONDS = 0.2


def work(folder: StudyFolder, device: str, *, stop: Callable[[], bool]) -> None:
    """Do jobs until none is open, waiting for those that other workers hold. ``stop`` is asked between jobs.

    Every worker computes with the study's number of threads, so that a study gives the same numbers whichever
    executor runs it.

    Raises:
        DiskFullError: there is no space left; the job in hand is put back.
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
                    _do(runner, ledger, jobs)
                elif ledger.open_jobs() == 0:
                    return
                # Whoever finds that a worker died must blame the job: to ask without would pardon it.
                elif ledger.reclaim(blame=True) == 0:
                    time.sleep(IDLE_SECONDS)
    finally:
        torch.set_num_threads(before)


def _do(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> None:
    try:
        with raising_disk_full(runner.folder.path):
            _attempt(runner, ledger, jobs)
    except (DiskFullError, KeyboardInterrupt):
        for job in jobs:
            ledger.release(job.id)
        raise


def _attempt(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> None:
    """Do one job, or a cohort of students. What breaks a whole cohort is sought by doing each alone."""
    with _Heartbeat(ledger, [job.id for job in jobs]):
        broken = _together(runner, ledger, jobs)
        if broken is None:
            return
        # By now nothing refers to what was in memory when it broke.
        empty_device_cache(runner.device)
        for job in jobs:
            broken = broken if len(jobs) == 1 else _together(runner, ledger, [job])
            if broken is not None:
                ledger.fail(job.id, broken)


def _together(runner: JobRunner, ledger: Ledger, jobs: list[Job]) -> str | None:
    """Do jobs and enter how each ended; or if they broke, say of what."""
    try:
        ended = runner.run(jobs)
    except DiskFullError:
        raise
    except Exception as error:
        if is_gpu_lost(error):
            _give_up(ledger, jobs, error)
            raise  # every other job would fail here as well: another process has to do them
        return _told(error)
    for name, result in ended.items():
        if isinstance(result, DivergenceError):
            ledger.fail(name, _told(result))
        else:
            ledger.done(name, result)
    return None


def _give_up(ledger: Ledger, jobs: list[Job], error: Exception) -> None:
    """A job that lost the device has failed; of a cohort each is to be tried alone."""
    for job in jobs:
        if len(jobs) == 1:
            ledger.fail(job.id, _told(error))
        else:
            ledger.release(job.id, blame=True)


def _told(error: Exception) -> str:
    """The error and where it arose, short enough for a table."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


class _Heartbeat:
    """Renews the lease on jobs from a thread of its own, with a connection of its own.

    A beat that the ledger does not take (it is locked, the disk is full) is left out: the next one makes up
    for it, and if none comes through another worker does the jobs as well, to the same result.
    """

    def __init__(self, ledger: Ledger, jobs: list[str]) -> None:
        self._path, self._jobs = ledger.path, jobs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        if self._ended.wait(HEARTBEAT_SECONDS):
            return  # most test-sized jobs end before the first beat: no connection is made for them
        while True:
            with contextlib.suppress(sqlite3.OperationalError), Ledger(self._path) as ledger:
                for job in self._jobs:
                    ledger.beat(job)
            if self._ended.wait(HEARTBEAT_SECONDS):
                return
