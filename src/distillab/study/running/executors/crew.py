"""The worker processes of a study: started, watched, and replaced when they die."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from distillab.errors import DiskFullError, WorkerStartError
from distillab.forkserver import MainModule, main_module, without_main, workers_context
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.running.worker import format_error
from distillab.user_code import CodeRule, code_rule, set_code_rule

DISK_FULL_EXIT = 28  # errno.ENOSPC: tells the parent why a worker ended
MAX_FAILED_STARTS = 3  # in a row and with the same error, after which a start is not tried again

WorkerBody = Callable[[str, str], None]
"""What a worker process runs, given the path of the study's folder and the device."""


def run_body(
    main: MainModule | None, rule: CodeRule, body: WorkerBody, path: str, device: str, errors: Connection
) -> None:
    """Run the body of a worker process. An error that it raises is sent to the parent instead of printed.

    Args:
        main: What to import first, for what it defines.
        rule: What happens to code that the study names.
        body: What to run.
        path: The study's folder.
        device: Where to compute.
        errors: Receives the error in one line, and its traceback.
    """
    try:
        set_code_rule(rule)
        if main is not None:
            main.load()
        body(path, device)
    except Exception as error:  # noqa: BLE001 - the parent reports it
        errors.send((format_error(error), traceback.format_exc()))
        sys.exit(1)


@dataclass(frozen=True)
class _Death:
    """How a worker ended.

    Attributes:
        cause: Its error in one line, or its exit code.
        traceback: The traceback of the error, if it raised one.
    """

    cause: str
    traceback: str = ""


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    errors: Connection
    worked: bool = False

    def death(self) -> _Death:
        with contextlib.suppress(EOFError, OSError):
            if self.errors.poll():
                return _Death(*self.errors.recv())
        code = self.process.exitcode or 0
        if code < 0 and -code in {each.value for each in signal.Signals}:
            return _Death(f"ended by {signal.Signals(-code).name}")
        return _Death(f"ended with exit code {code}")


class Crew:
    """The worker processes of a study.

    Attributes:
        restarts: How many were replaced since the last job finished.
        died: Whether any ever died.
    """

    def __init__(
        self, folder: StudyFolder, device: str, usual: int, body: WorkerBody, max_restarts: int
    ) -> None:
        self.restarts = 0
        self.died = False
        self._workers: list[_Worker] = []
        self._context, self._folder, self._device, self._usual = workers_context(), folder, device, usual
        self._body, self._max_restarts = body, max_restarts
        self._failed_starts: list[_Death] = []  # since a worker last got as far as a job
        self._deaths_of_jobs = 0

    def __len__(self) -> int:
        """Return how many workers were started and not replaced."""
        return len(self._workers)

    def add(self, count: int) -> None:
        """Start some workers."""
        for _ in range(count):
            self._workers.append(self._start())

    def add_if_possible(self, count: int) -> None:
        """Start workers that the study can do without, where the system has processes to give."""
        with contextlib.suppress(OSError):
            self.add(count)

    def alive(self) -> list[int]:
        """Return the process ids of the running workers."""
        running = (worker.process for worker in self._workers)
        return [process.pid for process in running if process.pid and process.is_alive()]

    def wait(self, seconds: float) -> None:
        """Wait until a worker ends, or for some seconds."""
        running = (worker.process for worker in self._workers)
        wait([process.sentinel for process in running if process.is_alive()], seconds)

    def watch(self, ledger: Ledger) -> None:
        """Note which workers have got as far as a job."""
        busy = ledger.busy_processes()
        for worker in self._workers:
            if worker.process.pid in busy and not worker.worked:
                worker.worked = True
                self._failed_starts.clear()

    def replace_the_dead(self, ledger: Ledger) -> bool:
        """Start a worker for each that died while jobs are open, unless the usual number is still running.

        Returns:
            True if a worker was started.

        Raises:
            DiskFullError: A worker ended because there is no space left.
            WorkerStartError: Several workers in a row failed at their start with the same error, and no other
                is at work. While others are, the study goes on with fewer.
            RuntimeError: Too many died since the last job finished.
        """
        replaced = False
        for worker in list(self._workers):
            code = worker.process.exitcode
            if code == DISK_FULL_EXIT:
                raise DiskFullError(f"{self._folder.path}: no space left on the disk")
            if code in (None, 0) or not ledger.open_jobs():
                continue
            # With extra workers, all may have run out of memory together: no job is to blame.
            reclaimed = ledger.reclaim(count_death=len(self._workers) <= self._usual)
            self.died = True
            self._workers.remove(worker)
            death = worker.death()
            if self._had_no_job(worker, reclaimed, ledger):
                self._failed_starts.append(death)
            if len(self.alive()) >= self._usual or self._is_pointless():
                continue
            self.restarts += 1
            if self.restarts > self._max_restarts:
                raise RuntimeError(f"{self.restarts} workers died; the last {_past(death, code)}")
            self.add(1)
            replaced = True
        return replaced

    def stop(self) -> None:
        """Terminate all workers and wait for their end."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    # -- inside ---------------------------------------------------------------------------------------------

    def _had_no_job(self, worker: _Worker, reclaimed: int, ledger: Ledger) -> bool:
        """Return True if a dead worker never got as far as a job. An idle worker may have found it first and
        have put its job back, which then counts a death."""
        before, self._deaths_of_jobs = self._deaths_of_jobs, ledger.deaths()
        return not worker.worked and not reclaimed and self._deaths_of_jobs == before

    def _is_pointless(self) -> bool:
        """Return True if another worker would fail at its start as well, and others are at work.

        Raises:
            WorkerStartError: No other is at work.
        """
        last = self._failed_starts[-MAX_FAILED_STARTS:]
        if len(last) < MAX_FAILED_STARTS or len({death.cause for death in last}) > 1:
            return False
        if any(worker.worked and worker.process.is_alive() for worker in self._workers):
            return True
        raise WorkerStartError(
            f"workers cannot start, {len(last)} times alike: {last[-1].cause}", last[-1].traceback
        )

    def _start(self) -> _Worker:
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_body,
            args=(main_module(), code_rule(), self._body, str(self._folder.path), self._device, sending),
            daemon=True,
        )
        with without_main():
            process.start()
        sending.close()
        return _Worker(process, receiving)


def _past(death: _Death, code: int) -> str:
    return f"had {death.cause}" if death.traceback else f"exit code was {code}"
