"""processes: worker processes on this machine, one thread each, sharing pixels through memory maps."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from distillab.errors import DiskFullError
from distillab.forkserver import workers_context
from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Ledger
from distillab.study.running.executors.executor import Watch, executors
from distillab.study.running.executors.tail import extra_workers
from distillab.study.running.worker import work
from distillab.training.numerics.device import pick_device

WATCH_SECONDS = 0.25
DISK_FULL_EXIT = 28  # errno.ENOSPC, so that the parent can tell why a worker ended
MOST_RESTARTS = 10


@executors.register("processes")
def processes(folder: StudyFolder, *, workers: int, device: str, watch: Watch) -> None:
    """Run every open job in ``workers`` processes, on a CPU in some more at the end, which then share the
    processors (see ``tail.extra_workers``). A worker that dies is replaced; its job is tried again.

    Raises:
        RuntimeError: workers die one after the other, and nothing is settled between.
    """
    on_cpu, threads = pick_device(device).type == "cpu", folder.spec.worker_threads
    crew = _Crew(folder, device, workers)
    unsettled = 0
    try:
        with folder.ledger() as ledger:
            ledger.reclaim()
            crew.add(min(workers, ledger.open_jobs()))
            working = bool(crew.processes)
            while working:
                crew.wait(WATCH_SECONDS)
                ledger.tidy()
                settled, everything = ledger.progress()
                watch(settled / everything if everything else 1.0)
                before, unsettled = unsettled, ledger.open_jobs()
                if unsettled != before:
                    crew.restarts = 0  # a job that kills is given up in the end, and counts as settled
                # Asked before the exit codes are read, so that no death goes unseen.
                working = bool(crew.alive())
                working |= crew.replace_the_dead(ledger)
                if on_cpu and not crew.died:
                    crew.add_if_possible(extra_workers(ledger, crew.alive(), workers, threads))
    finally:
        crew.stop()
        with folder.ledger() as ledger:
            ledger.reclaim()


class _Crew:
    """The worker processes of a study, ``usual`` ones as a rule; whether one of them ever died, and how many
    since the last job was settled."""

    def __init__(self, folder: StudyFolder, device: str, usual: int) -> None:
        self.processes: list[BaseProcess] = []
        self.restarts = 0
        self.died = False
        self._context, self._folder, self._device, self._usual = workers_context(), folder, device, usual

    def add(self, count: int) -> None:
        for _ in range(count):
            self.processes.append(self._start())

    def add_if_possible(self, count: int) -> None:
        """Add workers that the study can do without, where the system has processes to give."""
        with contextlib.suppress(OSError):
            self.add(count)

    def alive(self) -> list[int]:
        """The ids of those that run."""
        return [process.pid for process in self.processes if process.pid and process.is_alive()]

    def wait(self, seconds: float) -> None:
        """Until one of them ends, or the seconds are over."""
        wait([process.sentinel for process in self.processes if process.is_alive()], seconds)

    def replace_the_dead(self, ledger: Ledger) -> bool:
        """Start another for each that died while jobs are open, if no more than usual are left. Whether there
        was one.

        Raises:
            DiskFullError: one of them ended for want of space.
            RuntimeError: too many died since the last job was settled.
        """
        replaced = False
        for process in list(self.processes):
            if process.exitcode == DISK_FULL_EXIT:
                raise DiskFullError(f"{self._folder.path}: no space left on the disk")
            if process.exitcode not in (None, 0) and ledger.open_jobs():
                # Where there were more than usual they may have died of each other.
                ledger.reclaim(blame=len(self.processes) <= self._usual)
                self.died = True
                self.processes.remove(process)
                if len(self.alive()) >= self._usual:
                    continue
                self.restarts += 1
                if self.restarts > MOST_RESTARTS:
                    raise RuntimeError(
                        f"{self.restarts} workers died; the last exit code was {process.exitcode}"
                    )
                self.add(1)
                replaced = True
        return replaced

    def stop(self) -> None:
        """End all of them, whatever they do."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()

    def _start(self) -> BaseProcess:
        process = self._context.Process(
            target=_work, args=(str(self._folder.path), self._device), daemon=True
        )
        process.start()
        return process


def _work(path: str, device: str) -> None:
    """The body of a worker process. It ends by itself, after the job in hand, if its parent is gone."""
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
