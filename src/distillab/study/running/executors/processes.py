"""processes: worker processes on this machine, which share the data through memory maps."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from distillab.errors import DiskFullError
from distillab.forkserver import without_unguarded_main, workers_context
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.running.executors.executor import PROGRESS_SECONDS, OnProgress, executors
from distillab.study.running.executors.tail import Host, extra_workers
from distillab.study.running.worker import work
from distillab.training.numerics.device import pick_device

DISK_FULL_EXIT = 28  # errno.ENOSPC: tells the parent why a worker ended
MAX_RESTARTS = 10

WorkerBody = Callable[[str, str], None]
"""What a worker process runs, given the path of the study's folder and the device."""


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
        RuntimeError: More than ``max_restarts`` workers died while no job finished.
    """
    on_cpu, threads = pick_device(device).type == "cpu", folder.spec.worker_threads
    crew = _Crew(folder, device, workers, body, max_restarts)
    host = host or Host()
    open_jobs = 0
    try:
        with folder.ledger() as ledger:
            ledger.reclaim()
            crew.add(min(workers, ledger.open_jobs()))
            working = bool(crew.processes)
            while working:
                crew.wait(PROGRESS_SECONDS)
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


class _Crew:
    """The worker processes of a study.

    Attributes:
        processes: Those that were started and not replaced.
        restarts: How many were replaced since the last job finished.
        died: Whether any ever died.
    """

    def __init__(
        self, folder: StudyFolder, device: str, usual: int, body: WorkerBody, max_restarts: int
    ) -> None:
        self.processes: list[BaseProcess] = []
        self.restarts = 0
        self.died = False
        self._context, self._folder, self._device, self._usual = workers_context(), folder, device, usual
        self._body, self._max_restarts = body, max_restarts

    def add(self, count: int) -> None:
        """Start some workers."""
        for _ in range(count):
            self.processes.append(self._start())

    def add_if_possible(self, count: int) -> None:
        """Start workers that the study can do without, where the system has processes to give."""
        with contextlib.suppress(OSError):
            self.add(count)

    def alive(self) -> list[int]:
        """Return the process ids of the running workers."""
        return [process.pid for process in self.processes if process.pid and process.is_alive()]

    def wait(self, seconds: float) -> None:
        """Wait until a worker ends, or for some seconds."""
        wait([process.sentinel for process in self.processes if process.is_alive()], seconds)

    def replace_the_dead(self, ledger: Ledger) -> bool:
        """Start a worker for each that died while jobs are open, unless the usual number is still running.

        Returns:
            True if a worker was started.

        Raises:
            DiskFullError: A worker ended because there is no space left.
            RuntimeError: Too many died since the last job finished.
        """
        replaced = False
        for process in list(self.processes):
            if process.exitcode == DISK_FULL_EXIT:
                raise DiskFullError(f"{self._folder.path}: no space left on the disk")
            if process.exitcode not in (None, 0) and ledger.open_jobs():
                # With extra workers, all may have run out of memory together: no job is to blame.
                ledger.reclaim(count_death=len(self.processes) <= self._usual)
                self.died = True
                self.processes.remove(process)
                if len(self.alive()) >= self._usual:
                    continue
                self.restarts += 1
                if self.restarts > self._max_restarts:
                    raise RuntimeError(
                        f"{self.restarts} workers died; the last exit code was {process.exitcode}"
                    )
                self.add(1)
                replaced = True
        return replaced

    def stop(self) -> None:
        """Terminate all workers and wait for their end."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()

    def _start(self) -> BaseProcess:
        process = self._context.Process(
            target=self._body, args=(str(self._folder.path), self._device), daemon=True
        )
        with without_unguarded_main():
            process.start()
        return process
