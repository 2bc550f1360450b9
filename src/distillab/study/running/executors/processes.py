"""processes: worker processes on this machine, which share the data through memory maps."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from distillab.errors import DiskFullError
from distillab.study.folder import StudyFolder
from distillab.study.running.executors.crew import DISK_FULL_EXIT, Crew, WorkerBody
from distillab.study.running.executors.executor import PROGRESS_SECONDS, OnProgress, executors
from distillab.study.running.executors.tail import Host, extra_workers
from distillab.study.running.worker import work
from distillab.training.numerics.device import pick_device

MAX_RESTARTS = 10


def run_worker(path: str, device: str) -> None:
    """Work until no job is open. Ends after the current job if the parent process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    parent = multiprocessing.parent_process()
    try:
        work(
            StudyFolder.open(Path(path)),
            device,
            stop=lambda: parent is not None and not parent.is_alive(),
        )
    except DiskFullError:
        os._exit(DISK_FULL_EXIT)


@executors.register("processes")
def processes(
    folder: StudyFolder,
    *,
    workers: int,
    device: str,
    on_progress: OnProgress,
    body: WorkerBody = run_worker,
    max_restarts: int = MAX_RESTARTS,
    host: Host | None = None,
) -> None:
    """Run every open job in worker processes. A worker that dies is replaced, and its job is tried again.

    On a CPU the last jobs of a study get some extra workers (see :func:`tail.extra_workers`).

    Args:
        folder: The study.
        workers: Number of worker processes.
        device: Where to compute.
        on_progress: Called with the share of the work that is finished.
        body: What each process runs.
        max_restarts: How many workers may die while no job finishes.
        host: Facts about this machine; by default as they are.

    Raises:
        DiskFullError: There is no space left.
        WorkerStartError: Workers cannot start.
        RuntimeError: More than ``max_restarts`` workers died while no job finished.
    """
    on_cpu, threads = pick_device(device).type == "cpu", folder.spec.worker_threads
    crew = Crew(folder, device, workers, body, max_restarts)
    host = host or Host()
    open_jobs = 0
    try:
        with folder.ledger() as ledger:
            ledger.reclaim()
            crew.add(min(workers, ledger.open_jobs()))
            working = len(crew) > 0
            while working:
                crew.wait(PROGRESS_SECONDS)
                crew.watch(ledger)
                ledger.tidy()
                on_progress(ledger.progress().share)
                before, open_jobs = open_jobs, ledger.open_jobs()
                if open_jobs != before:
                    crew.restarts = 0  # a job that kills its workers fails in the end, and counts as well
                # Queried before the exit codes are read, so that no death goes unnoticed.
                working = bool(crew.alive())
                working |= crew.replace_the_dead(ledger)
                if on_cpu and not crew.died:
                    crew.add_if_possible(extra_workers(ledger, crew.alive(), workers, threads, host))
    finally:
        crew.stop()
        with folder.ledger() as ledger:
            ledger.reclaim()
