"""Propagating the end of a job to its dependents, in batches of one short transaction each.

Thousands of jobs may need one teacher. Updating all of them in one transaction would block every worker.
"""

from __future__ import annotations

import sqlite3

from distillab.study.ledger.state import OPEN_STATES, JobState

BATCH_SIZE = 250  # dependents that one transaction updates, in about a millisecond

# Pending notifications: the rank of a job that ended, the last dependent that was updated, and the reason of
# its failure (NULL if it is done).
_TABLE = "CREATE TABLE IF NOT EXISTS untold (rank INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT)"


def start_propagation(
    db: sqlite3.Connection, rank: int, reason: str | None = None, *, batch_size: int = BATCH_SIZE
) -> bool:
    """Update the first batch of dependents of a job, inside the transaction in which it ended.

    Args:
        db: The ledger's database.
        rank: The rank of the job.
        reason: Why the job failed; its dependents, direct and indirect, then fail with this reason. None if
            the job is done.
        batch_size: How many dependents to update.

    Returns:
        True if notifications are left, for :func:`continue_propagation`.
    """
    if not db.execute("SELECT 1 FROM needs WHERE needed = ? LIMIT 1", (rank,)).fetchone():
        return False
    db.execute(_TABLE)
    _propagate_batch(db, rank, -1, reason, batch_size)
    return pending_notifications(db)


def pending_notifications(db: sqlite3.Connection) -> bool:
    """Return True if dependents of some job are still to be updated."""
    exists = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'untold'").fetchone()
    return bool(exists and db.execute("SELECT 1 FROM untold LIMIT 1").fetchone())


def continue_propagation(db: sqlite3.Connection, *, batch_size: int = BATCH_SIZE) -> bool:
    """Update another batch, inside a transaction, of whichever job: the process that began may have died.

    Returns:
        True if a batch was pending.
    """
    if not pending_notifications(db):
        return False
    rank, last, reason = db.execute("SELECT rank, last, reason FROM untold ORDER BY rank LIMIT 1").fetchone()
    _propagate_batch(db, rank, last, reason, batch_size)
    return True


def _propagate_batch(
    db: sqlite3.Connection, rank: int, last: int, reason: str | None, batch_size: int
) -> None:
    query = "SELECT job FROM needs WHERE needed = ? AND job > ? ORDER BY job LIMIT ?"
    batch = [job for (job,) in db.execute(query, (rank, last, batch_size))]
    if reason is None:
        db.executemany("UPDATE jobs SET waiting = waiting - 1 WHERE rank = ?", [(job,) for job in batch])
    else:
        _fail(db, batch, reason)
    if len(batch) < batch_size:
        db.execute("DELETE FROM untold WHERE rank = ?", (rank,))
    else:
        db.execute("REPLACE INTO untold VALUES (?, ?, ?)", (rank, batch[-1], reason))


def _fail(db: sqlite3.Connection, jobs: list[int], reason: str) -> None:
    """Mark the open ones of some jobs as failed, and note that the dependents of all of them come next.

    Dependents of a held job are notified too: they may be open while the held job is not.
    """
    db.executemany(
        f"INSERT OR IGNORE INTO untold SELECT rank, -1, ? FROM jobs WHERE rank = ? "
        f"AND state <> '{JobState.FAILED}' AND EXISTS (SELECT 1 FROM needs WHERE needed = rank)",
        [(reason, job) for job in jobs],
    )
    db.executemany(
        f"UPDATE jobs SET state = ?, error = ? WHERE rank = ? AND state IN {OPEN_STATES}",
        [(JobState.FAILED, reason, job) for job in jobs],
    )
