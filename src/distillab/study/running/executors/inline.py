"""inline: one job after the other, in this process. For debugging, notebooks and single GPUs."""

from __future__ import annotations

import threading

from distillab.study.folder import StudyFolder
from distillab.study.running.executors.executor import PROGRESS_SECONDS, OnProgress, executors
from distillab.study.running.worker import work


@executors.register("inline")
def inline(folder: StudyFolder, *, workers: int, device: str, on_progress: OnProgress) -> None:
    """Run every open job in this process. ``workers`` is ignored: there is one."""
    with folder.ledger() as ledger:
        ledger.reclaim()
    ended = threading.Event()
    watcher = threading.Thread(target=_report, args=(folder, ended, on_progress), daemon=True)
    watcher.start()
    try:
        work(folder, device, stop=lambda: False)
    finally:
        ended.set()
        watcher.join()


def _report(folder: StudyFolder, ended: threading.Event, on_progress: OnProgress) -> None:
    with folder.ledger() as ledger:
        while not ended.wait(PROGRESS_SECONDS):
            ledger.tidy()
            on_progress(ledger.progress().share)
