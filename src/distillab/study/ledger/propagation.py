"""What the end of a job means for the jobs that need it: told in portions, a short transaction each.

Thousands may wait for one job. All of them in one transaction would keep every worker waiting for the ledger.
"""

from __future__ import annotations

import sqlite3

PORTION = 250  # jobs that are told in a transaction, which takes a millisecond

# By the rank of a job that has ended: the last of those that need it which has been told, and what is told.
_TABLE = "CREATE TABLE IF NOT EXISTS untold (rank INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT)"


def tell(db: sqlite3.Connection, rank: int, reason: str | None = None) -> bool:
    """Tell the first portion of those that need the job of a rank that it is done, or that it failed, for a
    ``reason``: then they fail with it, and so do those that need them. Inside the transaction in which it
    ended. Whether others are left, for :func:`tell_on`."""
    if not db.execute("SELECT 1 FROM needs WHERE needed = ? LIMIT 1", (rank,)).fetchone():
        return False
    db.execute(_TABLE)
    _tell_portion(db, rank, -1, reason)
    return anybody_is_untold(db)


def anybody_is_untold(db: sqlite3.Connection) -> bool:
    """Whether there is somebody left for :func:`tell_on`. A ledger may be older than the table."""
    there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'untold'").fetchone()
    return bool(there and db.execute("SELECT 1 FROM untold LIMIT 1").fetchone())


def tell_on(db: sqlite3.Connection) -> bool:
    """Tell another portion, of whatever job, inside a transaction: also if whoever began has died. Whether
    there was anybody to be told."""
    if not anybody_is_untold(db):
        return False
    row = db.execute("SELECT rank, last, reason FROM untold ORDER BY rank LIMIT 1").fetchone()
    _tell_portion(db, *row)
    return True


def _tell_portion(db: sqlite3.Connection, rank: int, last: int, reason: str | None) -> None:
    query = "SELECT job FROM needs WHERE needed = ? AND job > ? ORDER BY job LIMIT ?"
    portion = [job for (job,) in db.execute(query, (rank, last, PORTION))]
    if reason is None:
        db.executemany("UPDATE jobs SET waiting = waiting - 1 WHERE rank = ?", [(job,) for job in portion])
    else:
        _fail(db, portion, reason)
    if len(portion) < PORTION:
        db.execute("DELETE FROM untold WHERE rank = ?", (rank,))
    else:
        db.execute("REPLACE INTO untold VALUES (?, ?, ?)", (rank, portion[-1], reason))


def _fail(db: sqlite3.Connection, jobs: list[int], reason: str) -> None:
    """Enter those that are open as failed. Those that need them, or need one that is held, are told next."""
    db.executemany(
        "INSERT OR IGNORE INTO untold SELECT rank, -1, ? FROM jobs WHERE rank = ? AND state <> 'failed' "
        "AND EXISTS (SELECT 1 FROM needs WHERE needed = rank)",
        [(reason, job) for job in jobs],
    )
    db.executemany(
        "UPDATE jobs SET state = 'failed', error = ? WHERE rank = ? AND state IN ('queued', 'running')",
        [(reason, job) for job in jobs],
    )
