"""Bodies of worker processes that die, or finish the jobs of a ledger without training anything.

Nothing of distillab is imported here, so that a process starts and dies at once.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from pathlib import Path

POISON = "poison"  # the name of jobs that no worker survives
PATIENCE_SECONDS = 30.0
CLAIM = (
    "UPDATE jobs SET state = 'running', host = ?, pid = ?, heartbeat = ? WHERE id = "
    "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY rank LIMIT 1) RETURNING id"
)


def die_of_poison(path: str, device: str) -> None:
    """Finish every job, but die at those named poison."""
    db = sqlite3.connect(Path(path) / "ledger.sqlite", timeout=60, isolation_level=None)
    while row := db.execute(CLAIM, (socket.gethostname(), os.getpid(), time.time())).fetchone():
        if row[0].startswith(POISON):
            os._exit(9)
        db.execute("UPDATE jobs SET state = 'done', seconds = 1 WHERE id = ?", row)


def find_the_disk_full(path: str, device: str) -> None:
    """End at once, as a worker that cannot write."""
    os._exit(28)


def die_at_once(path: str, device: str) -> None:
    """Die before any job is claimed, as on a machine where nothing can be started."""
    sys.exit(3)


def meet_two_others(path: str, device: str) -> None:
    """Finish no job before three have started."""
    _wait_for_two_others(path, PATIENCE_SECONDS)


def give_up_soon(path: str, device: str) -> None:
    """Fail a job if three have not started soon."""
    _wait_for_two_others(path, 1.0)


def die_of_the_crowd(path: str, device: str) -> None:
    """Finish jobs once three have started, but die as the last of three workers to come.

    The others wait, as workers do, until no job is open.
    """
    db = sqlite3.connect(Path(path) / "ledger.sqlite", timeout=60, isolation_level=None)
    dead = Path(path) / "dead"
    until = time.monotonic() + PATIENCE_SECONDS
    while _open(db) and time.monotonic() < until:
        row = db.execute(CLAIM, (socket.gethostname(), os.getpid(), time.time())).fetchone()
        if row and _started(db) == 3 and not dead.exists():
            dead.write_text(f"{os.getpid()} ")
            os._exit(9)
        while row and not dead.exists() and time.monotonic() < until:
            time.sleep(0.01)
        if row:
            db.execute("UPDATE jobs SET state = 'done', seconds = 1 WHERE id = ?", row)
        time.sleep(0.01)


def _open(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()[0])


def _wait_for_two_others(path: str, seconds: float) -> None:
    db = sqlite3.connect(Path(path) / "ledger.sqlite", timeout=60, isolation_level=None)
    while row := db.execute(CLAIM, (socket.gethostname(), os.getpid(), time.time())).fetchone():
        until = time.monotonic() + seconds
        while (started := _started(db)) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        state = "done" if started >= 3 else "failed"
        db.execute("UPDATE jobs SET state = ?, seconds = 1 WHERE id = ?", (state, *row))


def _started(db: sqlite3.Connection) -> int:
    """Return how many jobs were claimed, finished ones included."""
    return int(db.execute("SELECT COUNT(*) FROM jobs WHERE state <> 'queued'").fetchone()[0])


def fail_alike(path: str, device: str) -> None:
    """Raise the same error at every start."""
    raise ImportError("no module named 'networks'")


def fail_differently(path: str, device: str) -> None:
    """Raise an error at every start that no other start raises."""
    raise OSError(f"process {os.getpid()} cannot start")


def fail_beside_one_at_work(path: str, device: str) -> None:
    """Finish all jobs, slowly, as the first worker; raise the same error at every other start."""
    try:
        (Path(path) / "first").touch(exist_ok=False)
    except FileExistsError:
        with (Path(path) / "failed").open("a") as failed:
            failed.write(".")
        raise ImportError("no module named 'networks'") from None
    db = sqlite3.connect(Path(path) / "ledger.sqlite", timeout=60, isolation_level=None)
    until = time.monotonic() + PATIENCE_SECONDS
    while row := db.execute(CLAIM, (socket.gethostname(), os.getpid(), time.time())).fetchone():
        while _length(Path(path) / "failed") < 3 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(1.0)  # the executor sees, meanwhile, that one is at work and three have failed
        db.execute("UPDATE jobs SET state = 'done', seconds = 1 WHERE id = ?", row)


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
