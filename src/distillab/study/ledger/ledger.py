"""The ledger: which jobs there are, and where each one stands. SQLite in WAL mode, short transactions."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from distillab.errors import RequestError
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, StoredJob
from distillab.study.ledger.interim import admit, hold
from distillab.study.ledger.propagation import anybody_is_untold, tell, tell_on
from distillab.study.ledger.schema import SCHEMA, fill, read_spec, upgrade
from distillab.study.liveness import is_alive

__all__ = ["Failure", "Job", "Kind", "Ledger", "State"]

LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
TIDY_SECONDS = 10.0
LONG_LOG = 20_000  # pages, 80 MB: that nobody has tidied
BUSY_SECONDS = 60.0  # that a connection waits for others
MOST_DEATHS = 3
MOST_MATES = 16

R = TypeVar("R")

State = Literal["queued", "running", "done", "failed", "held", "spared"]


@dataclass(frozen=True)
class Failure:
    """A job that failed, with what it said."""

    id: str
    kind: Kind
    error: str


class Ledger:
    """One connection to a study's ledger. Make one a process and thread. Where the file or its folder must
    not be written, it can be read all the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = _connection(path)
        self.host = socket.gethostname()
        self._tidied = time.monotonic()
        if self.meta("schema") not in (None, str(SCHEMA)):
            self._bring_up_to_date()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    # -- made once ------------------------------------------------------------------------------------------

    def create(
        self,
        meta: Mapping[str, str],
        jobs: Iterable[Job],
        conditions: Iterable[ConditionRecord],
        cells: Iterable[Cell],
        *,
        first: Iterable[str] | None = None,
    ) -> None:
        """Write the plan in one transaction. A ledger that already has one is left alone. If ``first`` is
        given, what these runs do not need is held until :meth:`admit`."""

        def enter() -> None:
            if self.meta("schema") is None:
                fill(self.db, meta, map(StoredJob.of, jobs), conditions, cells)
                if first is not None:
                    hold(self.db, first)

        self._transaction(enter)

    def meta(self, key: str) -> str | None:
        """A fact about the study, or None if the ledger is empty or does not know it."""
        if not self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    # -- work -----------------------------------------------------------------------------------------------

    def claim(self, most: int = MOST_MATES) -> list[Job]:
        """Take the first job that is ready and, if it has a cohort, the others of it that are ready, up to
        ``most`` in all, in planned order. Empty if none is ready. No two workers take the same job.

        A job whose worker died is taken alone: if it kills again, it kills no other.
        """

        def enter() -> list[int]:
            first = self.db.execute(
                "SELECT rank, cohort, deaths FROM jobs WHERE state = 'queued' AND waiting = 0 "
                "ORDER BY rank LIMIT 1"
            ).fetchone()
            if first is None:
                return []
            ranks, cohort, deaths = [first[0]], first[1], first[2]
            if cohort and not deaths:
                mates = self.db.execute(
                    "SELECT rank FROM jobs WHERE cohort = ? AND cohort <> '' AND state = 'queued' "
                    "AND waiting = 0 AND deaths = 0 ORDER BY rank LIMIT ?",
                    (cohort, most),
                )
                ranks = [rank for (rank,) in mates]
            now = time.time()
            self.db.executemany(
                "UPDATE jobs SET state = 'running', host = ?, pid = ?, heartbeat = ? WHERE rank = ?",
                [(self.host, os.getpid(), now, rank) for rank in ranks],
            )
            return ranks

        ranks = self._transaction(enter)
        # Whoever was telling what has ended may have died over it.
        if not ranks and self._tell_on():
            ranks = self._transaction(enter)
        return [job for rank in ranks if (job := self._job("rank", rank))]

    def beat(self, job: str) -> None:
        """Renew the lease on a running job."""
        self.db.execute("UPDATE jobs SET heartbeat = ? WHERE id = ?", (time.time(), job))

    def done(self, job: str, seconds: float) -> None:
        """Enter a job as done and make those that waited for it alone ready. A job that another worker
        finished first (after a lost lease) stays as it is."""

        def enter() -> bool:
            return self._settle(job, "done", seconds, None) and tell(self.db, self._rank(job))

        if self._transaction(enter):
            self._tell_on()

    def fail(self, job: str, error: str) -> None:
        """Enter a job as failed, with its error; the jobs that need it fail with it. A job that another
        worker finished first (after a lost lease) stays done."""

        def enter() -> bool:
            if not self._settle(job, "failed", None, error):
                return False
            (kind,) = self.db.execute("SELECT kind FROM jobs WHERE id = ?", (job,)).fetchone()
            return tell(self.db, self._rank(job), f"needs {kind} {job}, which failed: {error}")

        if self._transaction(enter):
            self._tell_on()

    def release(self, job: str, *, blame: bool = False) -> None:
        """Put a running job back into the queue; with ``blame``, to be taken alone."""
        self.db.execute(
            "UPDATE jobs SET state = 'queued', host = NULL, pid = NULL, deaths = deaths + ? "
            "WHERE id = ? AND state = 'running'",
            (int(blame), job),
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
            while tell_on(self.db):
                pass  # what has failed is to be tried again, and must not fail others afterwards
            count = self.db.execute(
                "UPDATE jobs SET state = 'queued', deaths = 0, error = NULL WHERE state = 'failed'"
            ).rowcount
            return int(count)

        return self._transaction(enter)

    def admit(self, wanted: Iterable[str], possible: Iterable[str]) -> int:
        """After a look: queue the held ``wanted`` runs with all they need, and spare what none of the
        ``possible`` runs will need. Nothing happens while jobs are open, as after somebody else's look.
        Returns how many are open then."""

        def enter() -> int:
            if self.open_jobs() == 0:
                admit(self.db, wanted, possible)
            return self.open_jobs()

        return self._transaction(enter)

    def tidy(self) -> None:
        """Move what was written from the log into the database, for whoever watches, now and then. Otherwise
        a transaction of a worker does, once the log is long, and takes a hundred times as long. What cannot
        be moved now (the disk is full, which workers will tell) is moved the next time."""
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            with contextlib.suppress(sqlite3.OperationalError):
                self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._tidied = time.monotonic()

    # -- reading --------------------------------------------------------------------------------------------

    def tally(self) -> dict[str, dict[str, int]]:
        """Number of jobs by kind and state."""
        counts: dict[str, dict[str, int]] = {}
        for kind, state, count in self.db.execute("SELECT kind, state, jobs FROM totals WHERE jobs > 0"):
            counts.setdefault(kind, {})[state] = count
        return counts

    def open_jobs(self) -> int:
        """Jobs that are queued or running."""
        query = "SELECT TOTAL(jobs) FROM totals WHERE state IN ('queued', 'running')"
        return int(self.db.execute(query).fetchone()[0])

    def queued(self) -> int:
        """Jobs that nobody has taken yet, ready or not."""
        query = "SELECT TOTAL(jobs) FROM totals WHERE state = 'queued'"
        return int(self.db.execute(query).fetchone()[0])

    def ready(self) -> int:
        """How many workers would find work at once: a cohort is taken by one."""
        query = (
            "SELECT COUNT(DISTINCT CASE WHEN cohort = '' OR deaths > 0 THEN id ELSE cohort END) FROM jobs "
            "WHERE state = 'queued' AND waiting = 0"
        )
        return int(self.db.execute(query).fetchone()[0])

    def at_work(self) -> set[int]:
        """Processes of this host that hold jobs."""
        rows = self.db.execute(
            "SELECT DISTINCT pid FROM jobs WHERE state = 'running' AND host = ?", (self.host,)
        )
        return {pid for (pid,) in rows}

    def seconds(self) -> dict[str, tuple[int, float]]:
        """By kind, how many jobs are done and the seconds they took together."""
        query = "SELECT kind, jobs, seconds FROM totals WHERE state = 'done' AND jobs > 0"
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
        return self._job("id", job)

    def progress(self) -> tuple[float, float]:
        """Estimated cost of the jobs that are settled (done or failed), and of all that are not spared."""
        costs = {True: 0.0, False: 0.0}
        unsettled = 0
        query = "SELECT state, jobs, cost FROM totals WHERE state <> 'spared'"
        for state, jobs, cost in self.db.execute(query):
            settled = state in ("done", "failed")
            costs[settled] += cost
            unsettled += jobs * (not settled)
        # What was added and taken away in another order leaves a rounding error behind.
        return costs[True], costs[True] + (costs[False] if unsettled else 0.0)

    def conditions(self) -> list[ConditionRecord]:
        """The conditions of the design with their manipulation checks, in planned order."""
        rows = self.db.execute("SELECT condition FROM conditions ORDER BY rank")
        return [ConditionRecord.from_dict(json.loads(condition)) for (condition,) in rows]

    def cells(self) -> list[Cell]:
        """The rows of the design, in planned order."""
        rows = self.db.execute("SELECT cell FROM cells ORDER BY rank")
        return [Cell.from_dict(json.loads(cell)) for (cell,) in rows]

    # -- inside ---------------------------------------------------------------------------------------------

    def _settle(self, job: str, state: State, seconds: float | None, error: str | None) -> bool:
        changed = self.db.execute(
            "UPDATE jobs SET state = ?, seconds = ?, error = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            (state, seconds, error, job),
        )
        return changed.rowcount == 1

    def _rank(self, job: str) -> int:
        return int(self.db.execute("SELECT rank FROM jobs WHERE id = ?", (job,)).fetchone()[0])

    def _tell_on(self) -> bool:
        """Tell all who have not been told yet that what they need has ended. Whether there was anybody."""
        told = False
        while anybody_is_untold(self.db):
            told |= self._transaction(lambda: tell_on(self.db))
        return told

    def _job(self, column: str, value: str | int) -> Job | None:
        query = f"SELECT rank, id, kind, cohort FROM jobs WHERE {column} = ?"
        row = self.db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        rank, name, kind, cohort = row
        spec, inputs = read_spec(self.db, rank)
        return StoredJob(id=name, kind=kind, spec=spec, inputs=inputs, cohort=cohort).job()

    def _bring_up_to_date(self) -> None:
        """Ledgers of before hold the same jobs in other tables."""

        def enter() -> None:
            if self.meta("schema") != "1":
                return
            workers = self.db.execute("SELECT host, pid, heartbeat FROM jobs WHERE state = 'running'")
            if not all(self._is_gone(*worker) for worker in workers):
                raise RequestError(
                    "an older version of distillab is running this study",
                    where=str(self.path),
                    allowed="wait until it has ended, or look at it with that version",
                )
            upgrade(self.db)

        self._transaction(enter)

    def _is_gone(self, host: str | None, pid: int | None, heartbeat: float | None) -> bool:
        """A process of this host is asked for itself: it beats late where the machine was asleep."""
        if heartbeat is None:
            return True
        if host == self.host and pid is not None:
            return not is_alive(pid, heartbeat)
        return time.time() - heartbeat > LEASE_SECONDS

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


def _connection(path: Path) -> sqlite3.Connection:
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        _write_ahead(db)
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint={LONG_LOG}")
        return db
    # Where there is no log nobody has it open who writes; then it is read without making one.
    logged = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if logged else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )


def _write_ahead(db: sqlite3.Connection) -> None:
    """Keep a log of what is written. Where several open a new ledger at once, SQLite gives up on this one
    statement without waiting."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
