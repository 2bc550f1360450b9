"""The ledger: the jobs of a study and their states, in short SQLite transactions."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from distillab.errors import LESS_MEMORY, RequestError
from distillab.printable import printable
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import MAX_COHORT, Job, StoredJob
from distillab.study.ledger.connection import as_damage, is_damage, refused, transaction
from distillab.study.ledger.interim import admit, hold_others, queue_held
from distillab.study.ledger.propagation import (
    BATCH_SIZE,
    continue_propagation,
    pending_notifications,
    start_propagation,
)
from distillab.study.ledger.reader import MADE_AGAIN, LedgerReader
from distillab.study.ledger.requeue import requeue, wait_again
from distillab.study.ledger.schema import SCHEMA, extend, fill, upgrade
from distillab.study.ledger.state import OPEN_STATES, JobState
from distillab.study.liveness import is_alive

LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
TIDY_SECONDS = 10.0
MAX_DEATHS = 3
RECENT_JOBS = 100  # from which the pace of a study is measured
LEAST_RECENT_JOBS = 3


class Ledger(LedgerReader):
    """The state of every job of a study, in a database that worker processes share.

    Each process and thread opens a ledger of its own. Where the file or its folder must not be written, the
    ledger can still be read.

    **Claims.** :meth:`claim` gives a job to one worker only. The worker renews its lease with
    :meth:`heartbeat` and ends the job with :meth:`done`, :meth:`fail` or :meth:`release`.

    **Deaths.** :meth:`reclaim` puts the jobs of dead workers back. A job whose workers died ``MAX_DEATHS``
    times fails.

    Args:
        path: The database file; created if there is none.
        clock: Returns seconds since the epoch.
        batch_size: Dependents that one transaction updates when a job ends.

    Raises:
        RequestError: The file is damaged, no ledger, or of an unknown version; an older version of distillab
            is running this study.

    Example:
        >>> import tempfile
        >>> with Ledger(Path(tempfile.mkdtemp()) / "ledger.sqlite") as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        ...     ledger.meta("identity"), ledger.claim(), ledger.open_jobs(), ledger.progress().share
        ('demo', [], 0, 1.0)
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, batch_size: int = BATCH_SIZE
    ) -> None:
        super().__init__(path)
        self._clock, self._batch_size = clock, batch_size
        self._tidied = time.monotonic()
        self._require_schema()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.db.close()
        if error is not None and is_damage(error):
            raise as_damage(self.path, error) from error

    # -- the plan -------------------------------------------------------------------------------------------

    def create(
        self,
        meta: Mapping[str, str],
        jobs: Iterable[Job],
        conditions: Iterable[ConditionRecord],
        cells: Iterable[Cell],
        *,
        first: Iterable[str] | None = None,
    ) -> None:
        """Write the plan in one transaction, unless the ledger has one.

        Args:
            meta: Facts about the study.
            jobs: All jobs; each comes after those that it needs.
            conditions: The conditions of the design.
            cells: The rows of the design.
            first: Student runs of the first interim analysis; what none of them needs is held until
                :meth:`admit`. None if nothing is held.
        """
        with transaction(self.db):
            if self.meta("schema") is None:
                fill(self.db, meta, map(StoredJob.of, jobs), conditions, cells)
                if first is not None:
                    hold_others(self.db, first)

    # -- work -----------------------------------------------------------------------------------------------

    def claim(self, most: int = MAX_COHORT) -> list[Job]:
        """Claim the first ready job and, if it has a cohort, the other ready jobs of the cohort.

        No two workers claim the same job. A job whose worker died is claimed alone: if it kills again, it
        kills no other.

        Args:
            most: The largest number of jobs to claim.

        Returns:
            The jobs in planned order; empty if none is ready.
        """
        ranks = self._claim_ranks(most)
        # If the process that was propagating a result died, finish its work.
        if not ranks and self._finish_propagation():
            ranks = self._claim_ranks(most)
        return [job for rank in ranks if (job := self._job("rank", rank))]

    def heartbeat(self, job: str) -> None:
        """Renew the lease on a running job."""
        self.db.execute("UPDATE jobs SET heartbeat = ? WHERE id = ?", (self._clock(), job))

    def done(self, job: str, seconds: float) -> None:
        """Mark a job as done, and its dependents that wait for nothing else as ready.

        A job that another worker finished first, after a lost lease, stays as it is.
        """
        with transaction(self.db):
            pending = self._finish(job, JobState.DONE, seconds, None) and self._propagate(job)
        if pending:
            self._finish_propagation()

    def fail(self, job: str, error: str) -> None:
        """Mark a job and its dependents, direct and indirect, as failed.

        A job that another worker finished first, after a lost lease, stays done.
        """
        error = printable(error, keep="\n\t")
        with transaction(self.db):
            pending = False
            if self._finish(job, JobState.FAILED, None, error):
                (kind,) = self.db.execute("SELECT kind FROM jobs WHERE id = ?", (job,)).fetchone()
                pending = self._propagate(job, f"needs {kind} {job}, which failed: {error}")
        if pending:
            self._finish_propagation()

    def release(self, job: str, *, count_death: bool = False) -> None:
        """Put a running job back into the queue.

        Args:
            job: The job's id.
            count_death: Count a death against the job, so that it is claimed alone.
        """
        self.db.execute(
            "UPDATE jobs SET state = ?, host = NULL, pid = NULL, deaths = deaths + ? "
            "WHERE id = ? AND state = ?",
            (JobState.QUEUED, int(count_death), job, JobState.RUNNING),
        )

    def reclaim(self, *, count_death: bool = False) -> int:
        """Put back the jobs of dead workers: their process ended on this host, or their lease ran out.

        Args:
            count_death: Count a death against each job, and fail those that caused ``MAX_DEATHS``. For
                workers that died by themselves, not for a study that was stopped.

        Returns:
            The number of jobs put back or failed.
        """
        rows = self.db.execute(
            f"SELECT id, host, pid, heartbeat, deaths FROM jobs WHERE state = '{JobState.RUNNING}'"
        ).fetchall()
        lost = [row for row in rows if self._is_lost(*row[1:4])]
        for job, _, _, heartbeat, deaths in lost:
            if count_death and deaths + 1 >= MAX_DEATHS:
                self.fail(job, f"its worker died {deaths + 1} times (out of memory? {LESS_MEMORY})")
            else:
                # The heartbeat tells whether another worker has claimed the job in the meantime.
                self.db.execute(
                    "UPDATE jobs SET state = ?, host = NULL, pid = NULL, deaths = deaths + ? "
                    "WHERE id = ? AND state = ? AND heartbeat = ?",
                    (JobState.QUEUED, int(count_death), job, JobState.RUNNING, heartbeat),
                )
        return len(lost)

    def workers(self) -> int:
        """Return how many worker processes are alive and running jobs."""
        return len(self._live_workers())

    def pace(self) -> float | None:
        """Return the training time that the workers finish per second of wall time, from their last jobs.

        It is less than the number of workers: networks are built, students wait for their teacher, and other
        programs use the processors. The result is None if the workers have finished fewer than three jobs.
        """
        workers = self._live_workers()
        query = f"""SELECT host, pid, heartbeat, IFNULL(seconds, 0) FROM jobs
            WHERE state = '{JobState.DONE}' AND heartbeat IS NOT NULL ORDER BY heartbeat DESC"""
        recent = []
        for host, pid, at, seconds in self.db.execute(query):
            if (host, pid) in workers:
                recent.append((at, seconds))
            if len(recent) == RECENT_JOBS:
                break
        if len(recent) < LEAST_RECENT_JOBS:
            return None
        passed = self._clock() - recent[-1][0]
        finished: float = sum(seconds for _, seconds in recent[:-1])
        return finished / passed if passed > 0 and finished > 0 else None

    def retry_failed(self) -> int:
        """Put every failed job back into the queue; return their number."""
        with transaction(self.db):
            while continue_propagation(self.db):
                pass  # a pending failure must not fail jobs after they were queued again
            return self.db.execute(
                f"UPDATE jobs SET state = ?, deaths = 0, error = NULL WHERE state = '{JobState.FAILED}'",
                (JobState.QUEUED,),
            ).rowcount

    def put_back(self, lost: Mapping[str, str], waiting: Iterable[str] = ()) -> int:
        """Put done jobs whose artifacts are lost back into the queue, and failed jobs that read lost ones.

        Args:
            lost: What is wrong with the artifact of each job, one sentence by id; kept in the ledger.
            waiting: Running jobs that found the damage: they wait for the others.

        Returns:
            The number of jobs that were put back, those in ``waiting`` not counted.
        """
        with transaction(self.db):
            while continue_propagation(self.db):
                pass  # a pending end of a job would be counted twice
            again = requeue(self.db, lost)
            wait_again(self.db, waiting)
            if lost:
                listed = json.dumps([*self.made_again(), *lost.values()])
                self.db.execute("REPLACE INTO meta VALUES (?, ?)", (MADE_AGAIN, listed))
            return again

    def admit(self, wanted: Iterable[str], possible: Iterable[str]) -> int:
        """Apply an interim analysis, unless jobs are open, as after the analysis of another process.

        Args:
            wanted: Held student runs to queue, with all that they need.
            possible: Runs that a later analysis may want; what none of them needs is spared.

        Returns:
            The number of open jobs afterwards.
        """
        with transaction(self.db):
            if self.open_jobs() == 0:
                admit(self.db, wanted, possible)
            return self.open_jobs()

    def add(
        self, jobs: Iterable[Job], cells: Iterable[Cell], wanted: Iterable[str], facts: Mapping[str, str]
    ) -> int:
        """Add jobs to the plan, those that it lacks, and queue some of them; replace the cells.

        Repeating it changes nothing. Jobs that none of the ``wanted`` runs needs are held.

        Args:
            jobs: The jobs; each comes after those that it needs.
            cells: All rows of the design.
            wanted: The student runs to queue, with all that they need.
            facts: What the jobs follow from, kept among the facts about the study.

        Returns:
            The number of open jobs afterwards.
        """
        with transaction(self.db):
            while continue_propagation(self.db):
                pass  # jobs that are added count what is done before them
            extend(self.db, map(StoredJob.of, jobs), cells)
            queue_held(self.db, wanted)
            self.db.executemany("REPLACE INTO meta VALUES (?, ?)", list(facts.items()))
            return self.open_jobs()

    def tidy(self, *, every: float = TIDY_SECONDS) -> None:
        """Move the write-ahead log into the database, if the last time was ``every`` seconds ago.

        To be called by a process that watches: otherwise a worker's transaction does it once the log is long,
        and takes a hundred times as long. What cannot be moved now (the disk is full, which the workers will
        report) is moved the next time.
        """
        if time.monotonic() - self._tidied > every:
            with contextlib.suppress(sqlite3.OperationalError):
                self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._tidied = time.monotonic()

    # -- inside ---------------------------------------------------------------------------------------------

    def _claim_ranks(self, most: int) -> list[int]:
        ready = f"state = '{JobState.QUEUED}' AND waiting = 0"
        with transaction(self.db):
            first = self.db.execute(
                f"SELECT rank, cohort, deaths FROM jobs WHERE {ready} ORDER BY rank LIMIT 1"
            ).fetchone()
            if first is None:
                return []
            ranks, cohort, deaths = [first[0]], first[1], first[2]
            if cohort and not deaths:
                mates = self.db.execute(
                    f"SELECT rank FROM jobs WHERE cohort = ? AND cohort <> '' AND {ready} AND deaths = 0 "
                    "ORDER BY rank LIMIT ?",
                    (cohort, most),
                )
                ranks = [rank for (rank,) in mates]
            now = self._clock()
            self.db.executemany(
                "UPDATE jobs SET state = ?, host = ?, pid = ?, heartbeat = ? WHERE rank = ?",
                [(JobState.RUNNING, self.host, os.getpid(), now, rank) for rank in ranks],
            )
            return ranks

    def _finish(self, job: str, state: JobState, seconds: float | None, error: str | None) -> bool:
        changed = self.db.execute(
            "UPDATE jobs SET state = ?, seconds = ?, error = ?, heartbeat = ? "
            f"WHERE id = ? AND state IN {OPEN_STATES}",
            (state, seconds, error, self._clock(), job),
        )
        return changed.rowcount == 1

    def _propagate(self, job: str, reason: str | None = None) -> bool:
        (rank,) = self.db.execute("SELECT rank FROM jobs WHERE id = ?", (job,)).fetchone()
        return start_propagation(self.db, rank, reason, batch_size=self._batch_size)

    def _finish_propagation(self) -> bool:
        """Propagate all pending ends of jobs to their dependents. Return True if any were pending."""
        found = False
        while pending_notifications(self.db):
            with transaction(self.db):
                found |= continue_propagation(self.db, batch_size=self._batch_size)
        return found

    def _require_schema(self) -> None:
        """Convert a ledger of an older version. Raises RequestError if this is none that can be read."""
        try:
            schema = self.meta("schema")
            if schema == "1":
                self._upgrade()
                schema = self.meta("schema")
            is_empty = not self.db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise (as_damage(self.path, error) if is_damage(error) else error) from error
        if schema != str(SCHEMA) and not (schema is None and is_empty):
            self.db.close()
            known = "has no schema" if schema is None else f"has schema {schema!r}"
            raise refused(self.path, f"{known}: this version of distillab reads 1 and {SCHEMA}")

    def _upgrade(self) -> None:
        """Convert a ledger of an older version, which holds the same jobs in other tables."""
        with transaction(self.db):
            if self.meta("schema") != "1":
                return
            running = "SELECT host, pid, heartbeat FROM jobs WHERE state = ?"
            if not all(self._is_lost(*row) for row in self.db.execute(running, (JobState.RUNNING,))):
                raise RequestError(
                    "an older version of distillab is running this study",
                    where=str(self.path),
                    allowed="wait until it has ended, or use that version",
                )
            upgrade(self.db)

    def _live_workers(self) -> set[tuple[str, int]]:
        query = "SELECT host, pid, MAX(heartbeat) FROM jobs WHERE state = ? GROUP BY host, pid"
        running = self.db.execute(query, (JobState.RUNNING,))
        return {(host, pid) for host, pid, beat in running if not self._is_lost(host, pid, beat)}

    def _is_lost(self, host: str | None, pid: int | None, heartbeat: float | None) -> bool:
        """Return True if a worker is dead, or silent for longer than its lease.

        Processes of this host are looked up: after the machine was asleep their heartbeats are late.
        """
        if heartbeat is None:
            return True
        if host == self.host and pid is not None:
            return not is_alive(pid, heartbeat)
        return self._clock() - heartbeat > LEASE_SECONDS
