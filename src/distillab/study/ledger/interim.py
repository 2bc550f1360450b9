"""Interim analyses: jobs are held until an analysis decides whether their seeds are needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from distillab.study.design import needed_for
from distillab.study.ledger.state import OPEN_STATES, JobState


def hold_others(db: sqlite3.Connection, runs: Iterable[str]) -> None:
    """Hold every queued job that none of some runs needs, inside a transaction."""
    needed = needed_for(runs, _needs(db))
    jobs = [job for job in _jobs_in(db, JobState.QUEUED) if job not in needed]
    db.executemany("UPDATE jobs SET state = ? WHERE id = ?", [(JobState.HELD, job) for job in jobs])


def admit(db: sqlite3.Connection, wanted: Iterable[str], possible: Iterable[str]) -> None:
    """Queue what the ``wanted`` runs need, and spare what none of the ``possible`` runs will need.

    Repeating it changes nothing. A spared job is queued again if it becomes wanted (a failed run was retried,
    or the margin was changed). Call it inside a transaction.
    """
    needs = _needs(db)
    keep = needed_for(possible, needs)
    _queue(db, needed_for(wanted, needs))
    spared = [job for job in _jobs_in(db, JobState.HELD) if job not in keep]
    db.executemany("UPDATE jobs SET state = ? WHERE id = ?", [(JobState.SPARED, job) for job in spared])
    _fail_dependents_of_failed(db)


def queue_held(db: sqlite3.Connection, wanted: Iterable[str]) -> None:
    """Queue what the ``wanted`` runs need, inside a transaction; other jobs stay as they are."""
    _queue(db, needed_for(wanted, _needs(db)))
    _fail_dependents_of_failed(db)


def _queue(db: sqlite3.Connection, jobs: Iterable[str]) -> None:
    db.executemany(
        "UPDATE jobs SET state = ? WHERE id = ? AND state IN (?, ?)",
        [(JobState.QUEUED, job, JobState.HELD, JobState.SPARED) for job in jobs],
    )


def _fail_dependents_of_failed(db: sqlite3.Connection) -> None:
    """Fail open jobs that need a failed one: jobs that failed while these were held have not failed them. In
    planned order, so that each error names the first cause."""
    failed = f"SELECT rank, kind, id, error FROM jobs WHERE state = '{JobState.FAILED}' ORDER BY rank"
    for rank, kind, name, error in db.execute(failed).fetchall():
        _fail_dependents(db, rank, f"needs {kind} {name}, which failed: {error}")


def _fail_dependents(db: sqlite3.Connection, rank: int, reason: str) -> None:
    """Mark the open jobs that need a failed one, directly or not, as failed."""
    db.execute(
        "WITH RECURSIVE fallen (rank) AS (SELECT job FROM needs WHERE needed = ? "
        "UNION SELECT job FROM needs JOIN fallen ON needed = fallen.rank) "
        f"UPDATE jobs SET state = ?, error = ? WHERE rank IN fallen AND state IN {OPEN_STATES}",
        (rank, JobState.FAILED, reason),
    )


def _jobs_in(db: sqlite3.Connection, state: JobState) -> list[str]:
    return [job for (job,) in db.execute("SELECT id FROM jobs WHERE state = ?", (state,))]


def _needs(db: sqlite3.Connection) -> dict[str, list[str]]:
    needs: dict[str, list[str]] = {}
    for job, needed in db.execute(
        "SELECT jobs.id, needed.id FROM needs JOIN jobs ON jobs.rank = needs.job "
        "JOIN jobs AS needed ON needed.rank = needs.needed"
    ):
        needs.setdefault(job, []).append(needed)
    return needs
