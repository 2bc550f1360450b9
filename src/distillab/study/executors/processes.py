"""processes: worker processes on this machine, one thread each, sharing pixels through memory maps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from distillab.errors import DiskFullError
from distillab.nursery import workers_context
from distillab.study.executors.executor import Watch, executors
from distillab.study.folder import StudyFolder
from distillab.study.worker import work

WATCH_SECONDS = 0.25
DISK_FULL_EXIT = 28  # errno.ENOSPC, so that the parent can tell why a worker ended
MOST_RESTARTS = 10


@executors.register("processes")
def processes(folder: StudyFolder, *, workers: int, device: str, watch: Watch) -> None:
    """Run every open job in ``workers`` processes. A worker that dies is replaced; its job is tried again.

    Raises:
        RuntimeError: workers die one after the other, and nothing is settled between.
    """
    context = workers_context()
    restarts, unsettled = 0, 0

    def start() -> BaseProcess:
        process = context.Process(target=_work, args=(str(folder.path), device), daemon=True)
        process.start()
        return process

    crew: list[BaseProcess] = []
    try:
        with folder.ledger() as ledger:
            ledger.reclaim()
            crew = [start() for _ in range(min(workers, ledger.open_jobs()))]
            working = bool(crew)
            while working:
                time.sleep(WATCH_SECONDS)
                settled, everything = ledger.progress()
                watch(settled / everything if everything else 1.0)
                before, unsettled = unsettled, ledger.open_jobs()
                if unsettled != before:
                    restarts = 0  # a job that kills is given up in the end, and counts as settled
                # Asked before the exit codes are read, so that no death goes unseen.
                working = any(process.is_alive() for process in crew)
                for place, process in enumerate(crew):
                    if process.exitcode == DISK_FULL_EXIT:
                        raise DiskFullError(f"{folder.path}: no space left on the disk")
                    if process.exitcode not in (None, 0) and ledger.open_jobs():
                        ledger.reclaim(blame=True)
                        restarts += 1
                        if restarts > MOST_RESTARTS:
                            raise RuntimeError(
                                f"{restarts} workers died; the last exit code was {process.exitcode}"
                            )
                        crew[place] = start()
                        working = True
    finally:
        for process in crew:
            process.terminate()
        for process in crew:
            process.join()
        with folder.ledger() as ledger:
            ledger.reclaim()


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
