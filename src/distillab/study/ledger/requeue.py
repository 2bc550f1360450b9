"""Jobs that go back into the queue: their artifacts are gone, or what failed them has been mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from distillab.study.ledger.state import JobState

# Errors of jobs that read something damaged or missing: they can succeed once it has been made again.
_MENDED = ("DamagedFileError: ", "CacheMissError: ")


def requeue(db: sqlite3.Connection, lost: Iterable[str]) -> int:
    """Queue done jobs whose artifacts are lost, and failed jobs that read something lost, in a transaction.

    Failed jobs that hang on one of them are queued as well. Done ones stay: their artifacts are sound, and
    the lost ones that they were made of will be the same again.

    Args:
        db: The ledger's database.
        lost: Ids of jobs; those that are not done stay as they are.

    Returns:
        The number of jobs that were queued.
    """
    reset = f"UPDATE jobs SET state = '{JobState.QUEUED}', deaths = 0, error = NULL, seconds = NULL"
    lost = list(lost)
    again = db.executemany(
        f"{reset} WHERE id = ? AND state = '{JobState.DONE}'", [(job,) for job in lost]
    ).rowcount
    read_lost = " OR ".join(f"instr(error, '{name}') > 0" for name in _MENDED)
    again += db.execute(f"{reset} WHERE state = '{JobState.FAILED}' AND ({read_lost})").rowcount
    _count_needs(db)
    return max(again, 0)


def wait_again(db: sqlite3.Connection, jobs: Iterable[str]) -> None:
    """Put running jobs back into the queue, to wait for those that they need, inside a transaction."""
    db.executemany(
        f"UPDATE jobs SET state = '{JobState.QUEUED}', host = NULL, pid = NULL, deaths = deaths + 1 "
        f"WHERE id = ? AND state = '{JobState.RUNNING}'",
        [(job,) for job in jobs],
    )
    _count_needs(db)


def _count_needs(db: sqlite3.Connection) -> None:
    """Count again how many jobs each job waits for."""
    counts = db.execute(
        "SELECT COUNT(*), needs.job FROM needs JOIN jobs AS needed ON needed.rank = needs.needed "
        f"WHERE needed.state <> '{JobState.DONE}' GROUP BY needs.job"
    ).fetchall()
    db.execute("UPDATE jobs SET waiting = 0 WHERE waiting <> 0")
    db.executemany("UPDATE jobs SET waiting = ? WHERE rank = ?", counts)
