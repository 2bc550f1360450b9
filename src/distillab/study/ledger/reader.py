"""Reading a ledger: states of jobs, progress, failures, and the design of the study."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from distillab.canonical import JsonObject
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, StoredJob
from distillab.study.ledger.connection import as_damage, connect, is_damage, refused
from distillab.study.ledger.schema import (
    SEALED,
    columns_of_tables,
    digest_key,
    digest_of_rows,
    read_spec,
    sealed_rows,
)
from distillab.study.ledger.state import OPEN_STATES, JobState

MADE_AGAIN = "made_again"
"""The fact of a ledger that lists what was found damaged."""


@dataclass(frozen=True)
class JobFailure:
    """A failed job with its error.

    Attributes:
        id: The job's id.
        kind: Its kind.
        error: What it raised, or what it needs that failed.

    Example:
        >>> JobFailure("8f0c", "student", "DivergenceError: the loss is not finite").kind
        'student'
    """

    id: str
    kind: Kind
    error: str


class JobStatus(NamedTuple):
    """The state of a job.

    Attributes:
        state: Its state.
        seconds: The seconds that it took, if it is done.
        error: Its error, if it failed.

    Example:
        >>> JobStatus(JobState.DONE, 1.5, None).state.is_finished
        True
    """

    state: JobState
    seconds: float | None
    error: str | None


class WorkProgress(NamedTuple):
    """How much of the estimated work of a study is finished.

    Attributes:
        finished: Cost of the finished jobs, in multiply-accumulates.
        total: Cost of all jobs that are not spared.

    Example:
        >>> WorkProgress(finished=3.0, total=4.0).share
        0.75
    """

    finished: float
    total: float

    @property
    def share(self) -> float:
        """The share of the work that is finished, in [0, 1]."""
        return self.finished / self.total if self.total else 1.0


class WorkOfKind(NamedTuple):
    """The work of one kind of job.

    Attributes:
        kind: The kind.
        done: Cost of the jobs that are done, in multiply-accumulates.
        left: Cost of the open jobs.
        seconds: Training time of the jobs that are done, in seconds.

    Example:
        >>> WorkOfKind("student", done=3e9, left=1e9, seconds=30.0).kind
        'student'
    """

    kind: Kind
    done: float
    left: float
    seconds: float


@dataclass(frozen=True)
class FinishedJob:
    """A job that ended, well or not.

    Attributes:
        id: Its id.
        kind: Its kind.
        state: ``done`` or ``failed``.
        at: When it ended, in seconds since the epoch.
        seconds: Its training time, if it is done.
        what: What it was, in words.

    Example:
        >>> FinishedJob("8f0c", "student", JobState.DONE, 1.7e9, 12.5, "resnet8, kd, seed 3").as_dict()["id"]
        '8f0c'
    """

    id: str
    kind: Kind
    state: JobState
    at: float
    seconds: float | None
    what: str

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": str(self.state),
            "at": self.at,
            "seconds": self.seconds,
            "what": self.what,
        }


class LedgerReader:
    """What can be read from a ledger, by any process at any time.

    Args:
        path: The database file; created if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.db: sqlite3.Connection = connect(path)
        except sqlite3.DatabaseError as error:
            raise (as_damage(path, error) if is_damage(error) else error) from error
        self.host = socket.gethostname()
        self._jobs_checked = False

    def meta(self, key: str) -> str | None:
        """Return a fact about the study; None if the ledger is empty or does not hold it."""
        if not self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def tally(self) -> dict[Kind, dict[JobState, int]]:
        """Return the number of jobs by kind and state."""
        counts: dict[Kind, dict[JobState, int]] = {}
        for kind, state, count in self.db.execute("SELECT kind, state, jobs FROM totals WHERE jobs > 0"):
            counts.setdefault(kind, {})[JobState(state)] = count
        return counts

    def open_jobs(self) -> int:
        """Return the number of jobs that are queued or running."""
        query = f"SELECT TOTAL(jobs) FROM totals WHERE state IN {OPEN_STATES}"
        return int(self.db.execute(query).fetchone()[0])

    def queued(self) -> int:
        """Return the number of jobs that no worker has claimed, ready or not."""
        query = "SELECT TOTAL(jobs) FROM totals WHERE state = ?"
        return int(self.db.execute(query, (JobState.QUEUED,)).fetchone()[0])

    def ready(self) -> int:
        """Return how many workers would find work at once; a cohort is work for one."""
        query = (
            "SELECT COUNT(DISTINCT CASE WHEN cohort = '' OR deaths > 0 THEN id ELSE cohort END) FROM jobs "
            f"WHERE state = '{JobState.QUEUED}' AND waiting = 0"
        )
        return int(self.db.execute(query).fetchone()[0])

    def busy_processes(self) -> set[int]:
        """Return the ids of the processes of this host that run jobs."""
        query = f"SELECT DISTINCT pid FROM jobs WHERE state = '{JobState.RUNNING}' AND host = ?"
        return {pid for (pid,) in self.db.execute(query, (self.host,))}

    def work(self) -> list[WorkOfKind]:
        """Return the work of each kind of job: what is done, what is left, and the time that it took."""
        query = f"""SELECT kind, TOTAL(CASE WHEN state = '{JobState.DONE}' THEN cost END),
            TOTAL(CASE WHEN state IN {OPEN_STATES} AND jobs > 0 THEN cost END),
            TOTAL(CASE WHEN state = '{JobState.DONE}' THEN seconds END) FROM totals GROUP BY kind"""
        return [WorkOfKind(*row) for row in self.db.execute(query)]

    def last_finished(self) -> FinishedJob | None:
        """Return the job that ended last; None if none has. A finished job keeps the time of its end in place
        of the last heartbeat."""
        states = f"('{JobState.DONE}', '{JobState.FAILED}')"
        query = f"""SELECT id, kind, state, heartbeat, seconds FROM jobs
            WHERE state IN {states} AND heartbeat IS NOT NULL ORDER BY heartbeat DESC, rank DESC LIMIT 1"""
        row = self.db.execute(query).fetchone()
        if row is None:
            return None
        name, kind, state, at, seconds = row
        return FinishedJob(name, kind, JobState(state), at, seconds, self._what(name, kind))

    def _what(self, job: str, kind: Kind) -> str:
        """Return what a job is in words: those of its row in the design, or its network."""
        found = self.db.execute(
            "SELECT cell FROM cells WHERE instr(cell, ?) LIMIT 1", (f'"{job}"',)
        ).fetchone()
        cell = Cell.from_dict(json.loads(found[0])) if found else None
        if cell is None:
            return ""
        if kind != "student":
            return cell.teacher
        levels = [f"{name} {level}" for name, level in cell.levels.items()]
        length = ["twice the steps"] if job == cell.doubled else []
        return ", ".join([cell.student, cell.method, *levels, f"seed {cell.seed}", *length])

    def most_deaths(self, jobs: Iterable[Job]) -> int:
        """Return the largest number of deaths that are counted against one of some jobs."""
        query = "SELECT deaths FROM jobs WHERE id = ?"
        return max(int(self.db.execute(query, (job.id,)).fetchone()[0]) for job in jobs)

    def deaths(self) -> int:
        """Return how many deaths of workers are counted against jobs, together."""
        return int(self.db.execute("SELECT TOTAL(deaths) FROM jobs").fetchone()[0])

    def seconds(self) -> dict[Kind, tuple[int, float]]:
        """Return, by kind, the number of jobs done and the seconds that they took together."""
        query = "SELECT kind, jobs, seconds FROM totals WHERE state = ? AND jobs > 0"
        return {kind: (count, total) for kind, count, total in self.db.execute(query, (JobState.DONE,))}

    def needs_of(self, jobs: Iterable[str]) -> list[tuple[str, Kind, JobState]]:
        """Return the jobs that some jobs need directly: id, kind and state, in planned order."""
        ids = list(jobs)
        rows = self.db.execute(
            "SELECT DISTINCT needed.id, needed.kind, needed.state, needed.rank FROM needs "
            "JOIN jobs AS needed ON needed.rank = needs.needed JOIN jobs ON jobs.rank = needs.job "
            f"WHERE jobs.id IN ({', '.join('?' * len(ids))}) ORDER BY needed.rank",
            ids,
        )
        return [(name, kind, JobState(state)) for name, kind, state, _ in rows]

    def made_again(self) -> list[str]:
        """Return what was found damaged and made again, one sentence each, the oldest first."""
        return list(json.loads(self.meta(MADE_AGAIN) or "[]"))

    def failures(self) -> list[JobFailure]:
        """Return the failed jobs in planned order."""
        query = f"SELECT id, kind, error FROM jobs WHERE state = '{JobState.FAILED}' ORDER BY rank"
        return [JobFailure(*row) for row in self.db.execute(query)]

    def states(self) -> dict[str, JobStatus]:
        """Return state, seconds and error of every job, by id, in planned order."""
        rows = self.db.execute("SELECT id, state, seconds, error FROM jobs")
        return {job: JobStatus(JobState(state), seconds, error) for job, state, seconds, error in rows}

    def of_state(self, state: JobState) -> list[tuple[str, Kind]]:
        """Return id and kind of the jobs in a state, in planned order."""
        return list(self.db.execute("SELECT id, kind FROM jobs WHERE state = ? ORDER BY rank", (state,)))

    def in_states(self, *states: JobState) -> set[str]:
        """Return the ids of the jobs that are in one of some states."""
        marks = ", ".join("?" * len(states))
        return {job for (job,) in self.db.execute(f"SELECT id FROM jobs WHERE state IN ({marks})", states)}

    def job(self, job: str) -> Job | None:
        """Return a job by its id; None if there is none."""
        return self._job("id", job)

    def progress(self) -> WorkProgress:
        """Return how much of the estimated work is finished."""
        costs = {True: 0.0, False: 0.0}
        unfinished = 0
        query = "SELECT state, jobs, cost FROM totals WHERE state <> ?"
        for state, jobs, cost in self.db.execute(query, (JobState.SPARED,)):
            finished = JobState(state).is_finished
            costs[finished] += cost
            unfinished += jobs * (not finished)
        # Additions and subtractions in another order leave a rounding error behind.
        return WorkProgress(costs[True], costs[True] + (costs[False] if unfinished else 0.0))

    def conditions(self) -> list[ConditionRecord]:
        """Return the conditions of the design with their manipulation checks, in planned order."""
        return [ConditionRecord.from_dict(each) for each in self._design("conditions")]

    def cells(self) -> list[Cell]:
        """Return the rows of the design, in planned order."""
        return [Cell.from_dict(each) for each in self._design("cells")]

    def check(self) -> bool:
        """Check the structure of the database, and its design against the digests that it was written with.

        Returns:
            False if it was written without digests.

        Raises:
            RequestError: It is damaged.
        """
        [(found,), *_] = self.db.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise refused(self.path, f"is damaged ({found})")
        for table, columns in columns_of_tables().items():
            self.db.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1")
        for table in SEALED:
            self._rows_of(table)
        return all(self.meta(digest_key(table)) for table in SEALED)

    def _design(self, table: str) -> list[JsonObject]:
        """Return the rows of a table of the design. Raises RequestError if they are not what was written."""
        return list(map(json.loads, self._rows_of(table)))

    def _rows_of(self, table: str) -> list[str]:
        rows = sealed_rows(self.db, table)
        if self.meta(digest_key(table)) not in (None, digest_of_rows(rows)):
            raise refused(self.path, f"is damaged: its table {table} is not what was written")
        return rows

    def _job(self, column: str, value: str | int) -> Job | None:
        query = f"SELECT rank, id, kind, cohort FROM jobs WHERE {column} = ?"
        row = self.db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        rank, name, kind, cohort = row
        self._check_jobs()
        try:
            spec, inputs = read_spec(self.db, rank)
            return StoredJob(id=name, kind=kind, spec=spec, inputs=inputs, cohort=cohort).job()
        except (ValueError, KeyError, TypeError) as error:  # of a ledger without digests
            raise as_damage(self.path, error) from error

    def _check_jobs(self) -> None:
        """Check what jobs are made of against its digests, before the first job is read."""
        if not self._jobs_checked:
            for table in ("parts", "specs"):
                self._rows_of(table)
            self._jobs_checked = True
