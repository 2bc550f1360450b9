"""inline: one job after the other, in this process. For debugging, notebooks and single GPUs."""

from __future__ import annotations

import threading

from distillab.study.folder import StudyFolder
from distillab.study.running.executors.executor import Watch, executors
from distillab.study.running.worker import work

WATCH_SECONDS = 0.5


@executors.register("inline")
def inline(folder: StudyFolder, *, workers: int, device: str, watch: Watch) -> None:
    """Run every open job here. ``workers`` is not used: there is one."""
    with folder.ledger() as ledger:
        ledger.reclaim()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, ended, watch), daemon=True)
    watcher.start()
    try:
        work(folder, device, stop=lambda: False)
    finally:
        ended.set()
        watcher.join()


def _watch(folder: StudyFolder, ended: threading.Event, watch: Watch) -> None:
    with folder.ledger() as ledger:
        while not ended.wait(WATCH_SECONDS):
            ledger.tidy()
            settled, everything = ledger.progress()
            watch(settled / everything if everything else 1.0)
