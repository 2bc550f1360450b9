"""The ledger: which jobs there are, and where each one stands. SQLite in WAL mode, short transactions."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from distillab.canonical import canonical_json
from distillab.study.liveness import is_alive

SCHEMA = 1
LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
MOST_DEATHS = 3

R = TypeVar("R")

State = Literal["queued", "running", "done", "failed"]
Kind = Literal["teacher", "outputs", "student"]

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, spec TEXT NOT NULL, condition TEXT NOT NULL,
    rank INTEGER NOT NULL, state TEXT NOT NULL, waiting INTEGER NOT NULL, deaths INTEGER NOT NULL DEFAULT 0,
    cost REAL NOT NULL, host TEXT, pid INTEGER, heartbeat REAL, seconds REAL, error TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS needs (
    needed TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (needed, job)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conditions (rank INTEGER PRIMARY KEY, condition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cells (rank INTEGER PRIMARY KEY, cell TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ready ON jobs (state, waiting, rank);
CREATE INDEX IF NOT EXISTS tally ON jobs (kind, state);
"""


@dataclass(frozen=True)
class Job:
    """A unit of work. ``spec`` is what its id is the hash of; ``condition`` tells how to make its image sets
    again; ``needs`` are ids of jobs to be done before; ``cost`` is an estimate in multiply-accumulates."""

    id: str
    kind: Kind
    spec: Mapping[str, Any]
    condition: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    cost: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A job that failed, with what it said."""

    id: str
    kind: Kind
    error: str


class Ledger:
    """One connection to a study's ledger. Make one a process and thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(path, timeout=60.0, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.host = socket.gethostname()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    # -- made once ------------------------------------------------------------------------------------------

    def create(
        self,
        meta: Mapping[str, str],
        jobs: Iterable[Job],
        conditions: Iterable[Mapping[str, Any]],
        cells: Iterable[Mapping[str, Any]],
    ) -> None:
        """Write the plan in one transaction. A ledger that already has one is left alone."""

        def enter() -> None:
            if self.meta("schema") is not None:
                return
            self._fill(meta, jobs)
            for table, rows in (("conditions", conditions), ("cells", cells)):
                numbered = ((rank, canonical_json(row)) for rank, row in enumerate(rows))
                self.db.executemany(f"INSERT INTO {table} VALUES (?, ?)", numbered)

        self.db.executescript(_TABLES)
        self._transaction(enter)

    def _fill(self, meta: Mapping[str, str], jobs: Iterable[Job]) -> None:
        values = {"schema": str(SCHEMA), **meta}
        self.db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        for rank, job in enumerate(jobs):
            self.db.execute(
                "INSERT INTO jobs (id, kind, spec, condition, rank, state, waiting, cost) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.id,
                    job.kind,
                    canonical_json(job.spec),
                    canonical_json(job.condition),
                    rank,
                    "queued",
                    len(job.needs),
                    job.cost,
                ),
            )
            self.db.executemany("INSERT INTO needs VALUES (?, ?)", [(need, job.id) for need in job.needs])

    def meta(self, key: str) -> str | None:
        """A fact about the study, or None if the ledger is empty or does not know it."""
        if not self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    # -- work -----------------------------------------------------------------------------------------------

    def claim(self) -> Job | None:
        """Take the first job that is ready, or None if none is. One statement, so two workers never share."""
        row = self.db.execute(
            "UPDATE jobs SET state = 'running', host = ?, pid = ?, heartbeat = ? "
            "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND waiting = 0 ORDER BY rank LIMIT 1) "
            "RETURNING id, kind, spec, condition",
            (self.host, os.getpid(), time.time()),
        ).fetchone()
        return None if row is None else Job(row[0], row[1], json.loads(row[2]), json.loads(row[3]))

    def beat(self, job: str) -> None:
        """Renew the lease on a running job."""
        self.db.execute("UPDATE jobs SET heartbeat = ? WHERE id = ?", (time.time(), job))

    def done(self, job: str, seconds: float) -> None:
        """Enter a job as done and make those that waited for it alone ready. A job that another worker
        finished first (after a lost lease) stays as it is."""

        def enter() -> None:
            if self._settle(job, "done", seconds, None):
                self.db.execute(
                    "UPDATE jobs SET waiting = waiting - 1 "
                    "WHERE id IN (SELECT job FROM needs WHERE needed = ?)",
                    (job,),
                )

        self._transaction(enter)

    def fail(self, job: str, error: str) -> None:
        """Enter a job as failed, with its error; the jobs that need it fail with it. A job that another
        worker finished first (after a lost lease) stays done."""

        def enter() -> None:
            if not self._settle(job, "failed", None, error):
                return
            fallen = [(job, job)]
            while fallen:
                cause, current = fallen.pop()
                reason = f"needs {self._kind(cause)} {cause}, which failed: {error}"
                rows = self.db.execute("SELECT job FROM needs WHERE needed = ?", (current,)).fetchall()
                for (dependent,) in rows:
                    self._settle(dependent, "failed", None, reason)
                    fallen.append((cause, dependent))

        self._transaction(enter)

    def release(self, job: str) -> None:
        """Put a running job back into the queue without blame."""
        self.db.execute(
            "UPDATE jobs SET state = 'queued', host = NULL, pid = NULL WHERE id = ? AND state = 'running'",
            (job,),
        )

    def reclaim(self, *, blame: bool = False) -> int:
        """Put back the jobs of workers that are gone: their process has ended on this host, or their lease
        has run out on another. Returns how many.

        With ``blame`` (a worker died by itself, nobody stopped the study) the deaths of each job are counted,
        and one that took three workers with it is entered as failed.
        """
        rows = self.db.execute(
            "SELECT id, host, pid, heartbeat, deaths FROM jobs WHERE state = 'running'"
        ).fetchall()
        gone = [row for row in rows if self._is_gone(*row[1:4])]
        for job, _, _, heartbeat, deaths in gone:
            if blame and deaths + 1 >= MOST_DEATHS:
                self.fail(job, f"its worker died {deaths + 1} times (out of memory?)")
            else:
                self.db.execute(
                    "UPDATE jobs SET state = 'queued', host = NULL, pid = NULL, deaths = deaths + ? "
                    "WHERE id = ? AND state = 'running' AND heartbeat = ?",
                    (int(blame), job, heartbeat),
                )
        return len(gone)

    def retry_failed(self) -> int:
        """Put every failed job back into the queue. Returns how many."""

        def enter() -> int:
            count = self.db.execute(
                "UPDATE jobs SET state = 'queued', deaths = 0, error = NULL WHERE state = 'failed'"
            ).rowcount
            return int(count)

        return self._transaction(enter)

    # -- reading --------------------------------------------------------------------------------------------

    def tally(self) -> dict[str, dict[str, int]]:
        """Number of jobs by kind and state."""
        counts: dict[str, dict[str, int]] = {}
        for kind, state, count in self.db.execute(
            "SELECT kind, state, COUNT(*) FROM jobs GROUP BY kind, state"
        ):
            counts.setdefault(kind, {})[state] = count
        return counts

    def open_jobs(self) -> int:
        """Jobs that are queued or running."""
        query = "SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running')"
        return int(self.db.execute(query).fetchone()[0])

    def seconds(self) -> dict[str, tuple[int, float]]:
        """By kind, how many jobs are done and the seconds they took together."""
        query = "SELECT kind, COUNT(seconds), TOTAL(seconds) FROM jobs WHERE state = 'done' GROUP BY kind"
        return {kind: (count, total) for kind, count, total in self.db.execute(query)}

    def failures(self) -> list[Failure]:
        """Failed jobs in planned order."""
        query = "SELECT id, kind, error FROM jobs WHERE state = 'failed' ORDER BY rank"
        return [Failure(*row) for row in self.db.execute(query)]

    def states(self) -> dict[str, tuple[State, float | None, str | None]]:
        """State, seconds and error of every job."""
        rows = self.db.execute("SELECT id, state, seconds, error FROM jobs")
        return {job: (state, seconds, error) for job, state, seconds, error in rows}

    def job(self, job: str) -> Job | None:
        """A job by its id, or None."""
        row = self.db.execute("SELECT id, kind, spec, condition FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if row is None else Job(row[0], row[1], json.loads(row[2]), json.loads(row[3]))

    def progress(self) -> tuple[float, float]:
        """Estimated cost of the jobs that are settled (done or failed), and of all jobs."""
        query = "SELECT TOTAL(CASE WHEN state IN ('done', 'failed') THEN cost END), TOTAL(cost) FROM jobs"
        settled, everything = self.db.execute(query).fetchone()
        return float(settled), float(everything)

    def conditions(self) -> list[dict[str, Any]]:
        """The conditions of the design with their manipulation checks, in planned order."""
        rows = self.db.execute("SELECT condition FROM conditions ORDER BY rank")
        return [json.loads(condition) for (condition,) in rows]

    def cells(self) -> list[dict[str, Any]]:
        """The rows of the design, in planned order."""
        return [json.loads(cell) for (cell,) in self.db.execute("SELECT cell FROM cells ORDER BY rank")]

    # -- inside ---------------------------------------------------------------------------------------------

    def _settle(self, job: str, state: State, seconds: float | None, error: str | None) -> bool:
        changed = self.db.execute(
            "UPDATE jobs SET state = ?, seconds = ?, error = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            (state, seconds, error, job),
        )
        return changed.rowcount == 1

    def _kind(self, job: str) -> str:
        return str(self.db.execute("SELECT kind FROM jobs WHERE id = ?", (job,)).fetchone()[0])

    def _is_gone(self, host: str | None, pid: int | None, heartbeat: float | None) -> bool:
        if heartbeat is None or time.time() - heartbeat > LEASE_SECONDS:
            return True
        return host == self.host and pid is not None and not is_alive(pid)

    def _transaction(self, body: Callable[[], R]) -> R:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            result = body()
            self.db.execute("COMMIT")
            return result
        except BaseException:
            # On a full disk SQLite has rolled back by itself; to do it again would hide that error.
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
