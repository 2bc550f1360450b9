"""Jobs that wait for a look at the results: held until it is known whether their seeds are needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from distillab.study.design import Cell


def runs_of_first(cells: Iterable[Cell], seeds: int) -> set[str]:
    """The student runs of a plan's cells that have one of the first seeds."""
    return {cell.run for cell in cells if cell.run and cell.seed < seeds}


def needed_for(runs: Iterable[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Jobs and all that they need, through however many jobs. ``needs``: by job, what it needs."""
    found: set[str] = set()
    fresh = set(runs)
    while fresh:
        found |= fresh
        fresh = {need for job in fresh for need in needs.get(job, ())} - found
    return found


def hold(db: sqlite3.Connection, runs: Iterable[str]) -> None:
    """Hold every job that none of some runs needs. Inside a transaction."""
    needed = needed_for(runs, _needs(db))
    jobs = [job for (job,) in db.execute("SELECT id FROM jobs WHERE state = 'queued'") if job not in needed]
    db.executemany("UPDATE jobs SET state = 'held' WHERE id = ?", [(job,) for job in jobs])


def admit(db: sqlite3.Connection, wanted: Iterable[str], possible: Iterable[str]) -> None:
    """Queue what the ``wanted`` runs need, and spare what none of the ``possible`` ones will ever need.

    To do it twice changes nothing. A job that was spared is queued again if it is wanted after all (a failed
    run was tried again, or the margin is another one). Inside a transaction.
    """
    needs = _needs(db)
    queue, keep = needed_for(wanted, needs), needed_for(possible, needs)
    db.executemany(
        "UPDATE jobs SET state = 'queued' WHERE id = ? AND state IN ('held', 'spared')",
        [(job,) for job in queue],
    )
    held = [job for (job,) in db.execute("SELECT id FROM jobs WHERE state = 'held'") if job not in keep]
    db.executemany("UPDATE jobs SET state = 'spared' WHERE id = ?", [(job,) for job in held])
    # What failed while these were held has not taken them with it. In planned order, so that each is told the
    # first cause.
    for failed, kind, name, error in db.execute(
        "SELECT rank, kind, id, error FROM jobs WHERE state = 'failed' ORDER BY rank"
    ).fetchall():
        fail_dependents(db, failed, f"needs {kind} {name}, which failed: {error}")


def fail_dependents(db: sqlite3.Connection, rank: int, reason: str) -> None:
    """Enter the open jobs that need a failed one, through however many jobs, as failed. In a transaction."""
    db.execute(
        "WITH RECURSIVE fallen (rank) AS (SELECT job FROM needs WHERE needed = ? "
        "UNION SELECT job FROM needs JOIN fallen ON needed = fallen.rank) "
        "UPDATE jobs SET state = 'failed', error = ? "
        "WHERE rank IN fallen AND state IN ('queued', 'running')",
        (rank, reason),
    )


def _needs(db: sqlite3.Connection) -> dict[str, list[str]]:
    needs: dict[str, list[str]] = {}
    for job, needed in db.execute(
        "SELECT jobs.id, needed.id FROM needs JOIN jobs ON jobs.rank = needs.job "
        "JOIN jobs AS needed ON needed.rank = needs.needed"
    ):
        needs.setdefault(job, []).append(needed)
    return needs
