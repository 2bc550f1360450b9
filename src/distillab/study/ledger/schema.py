"""The tables of a ledger, how a plan fills them, and how ledgers of older versions are converted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xxhash

from distillab.canonical import JsonObject, canonical_json
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import StoredJob
from distillab.study.ledger.state import JobState

SCHEMA = 2
TABLES = ("meta", "jobs", "specs", "parts", "needs", "totals", "conditions", "cells")
# What does not change while a study runs, as texts in order: these have digests, which are checked.
SEALED = {
    "conditions": "SELECT condition FROM conditions ORDER BY rank",
    "cells": "SELECT cell FROM cells ORDER BY rank",
    "parts": "SELECT text FROM parts ORDER BY part",
    "specs": "SELECT plain || ' ' || parts || ' ' || condition FROM specs ORDER BY rank",
}

# What many jobs share is written once, as a part: a spec consists of a part for its plain values and one for
# each of its mappings. Jobs are referred to by their rank in the plan, and what changes while a study runs is
# kept in short rows of its own: a transaction then touches a few pages, however many jobs there are.
_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS jobs (
        rank INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, cohort TEXT NOT NULL,
        state TEXT NOT NULL, waiting INTEGER NOT NULL, deaths INTEGER NOT NULL DEFAULT 0, cost REAL NOT NULL,
        host TEXT, pid INTEGER, heartbeat REAL, seconds REAL, error TEXT)""",
    """CREATE TABLE IF NOT EXISTS specs (
        rank INTEGER PRIMARY KEY, plain INTEGER NOT NULL, parts TEXT NOT NULL, condition INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS parts (part INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS needs (
        needed INTEGER NOT NULL, job INTEGER NOT NULL, PRIMARY KEY (needed, job)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS totals (
        kind TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL, cost REAL NOT NULL,
        seconds REAL NOT NULL, PRIMARY KEY (kind, state)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS conditions (rank INTEGER PRIMARY KEY, condition TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cells (rank INTEGER PRIMARY KEY, cell TEXT NOT NULL)",
)
# Created once the tables are filled, when it costs least. The indices are partial: a job is in one only while
# queries look for it there, and such a query must spell out the state rather than bind it. The trigger keeps
# sums that would otherwise need a scan of all jobs.
_INDICES = (
    f"CREATE INDEX IF NOT EXISTS ready ON jobs (rank) WHERE state = '{JobState.QUEUED}' AND waiting = 0",
    f"""CREATE INDEX IF NOT EXISTS mates ON jobs (cohort, rank)
        WHERE state = '{JobState.QUEUED}' AND waiting = 0 AND cohort <> ''""",
    f"CREATE INDEX IF NOT EXISTS running ON jobs (rank) WHERE state = '{JobState.RUNNING}'",
    f"CREATE INDEX IF NOT EXISTS failed ON jobs (rank) WHERE state = '{JobState.FAILED}'",
    """INSERT INTO totals
        SELECT kind, state, COUNT(*), TOTAL(cost), TOTAL(seconds) FROM jobs GROUP BY kind, state""",
    """CREATE TRIGGER IF NOT EXISTS counted AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
        UPDATE totals SET jobs = jobs - 1, cost = cost - OLD.cost, seconds = seconds - IFNULL(OLD.seconds, 0)
            WHERE kind = OLD.kind AND state = OLD.state;
        INSERT INTO totals VALUES (NEW.kind, NEW.state, 1, NEW.cost, IFNULL(NEW.seconds, 0))
            ON CONFLICT (kind, state) DO UPDATE SET jobs = jobs + 1, cost = cost + excluded.cost,
                seconds = seconds + excluded.seconds;
    END""",
)


def fill(
    db: sqlite3.Connection,
    meta: Mapping[str, str],
    jobs: Iterable[StoredJob],
    conditions: Iterable[ConditionRecord],
    cells: Iterable[Cell],
) -> None:
    """Create the tables and write a plan, inside a transaction. Each job comes after those that it needs."""
    for statement in _TABLES:
        db.execute(statement)
    db.executemany("INSERT INTO meta VALUES (?, ?)", {"schema": str(SCHEMA), **meta}.items())
    _write_jobs(db, jobs)
    designs = {
        "conditions": map(ConditionRecord.as_dict, conditions),
        "cells": map(Cell.as_dict, cells),
    }
    for table, rows in designs.items():
        numbered = ((rank, canonical_json(row)) for rank, row in enumerate(rows))
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", numbered)
    _seal(db)
    for statement in _INDICES:
        db.execute(statement)


def extend(db: sqlite3.Connection, jobs: Iterable[StoredJob], cells: Iterable[Cell]) -> None:
    """Add jobs that a ledger lacks, as held ones, and replace its cells, inside a transaction.

    Each job comes after those that it needs. No end of a job may be pending that is not propagated.
    """
    known = {name: (rank, state) for name, rank, state in db.execute("SELECT id, rank, state FROM jobs")}
    fresh = [job for job in jobs if job.id not in known]
    parts = {text: part for part, text in db.execute("SELECT part, text FROM parts")}
    ranks = {name: rank for name, (rank, _) in known.items()}
    _write_jobs(db, fresh, state=JobState.HELD, parts=parts, ranks=ranks)
    done = {name for name, (_, state) in known.items() if state == JobState.DONE}
    db.executemany(
        "UPDATE jobs SET waiting = waiting - ? WHERE id = ?",
        [(sum(need in done for need in job.needs), job.id) for job in fresh],
    )
    for job in fresh:
        db.execute(
            "INSERT INTO totals VALUES (?, ?, 1, ?, 0) ON CONFLICT (kind, state) DO UPDATE SET "
            "jobs = jobs + 1, cost = cost + excluded.cost",
            (job.kind, JobState.HELD, job.cost),
        )
    db.execute("DELETE FROM cells")
    rows = ((rank, canonical_json(cell.as_dict())) for rank, cell in enumerate(cells))
    db.executemany("INSERT INTO cells VALUES (?, ?)", rows)
    _seal(db)


def columns_of_tables() -> dict[str, list[str]]:
    """Return the columns of each table of a ledger of this version.

    Example:
        >>> columns_of_tables()["parts"]
        ['part', 'text']
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for statement in _TABLES:
            db.execute(statement)
        return {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in TABLES}


def digest_key(table: str) -> str:
    """Return the fact of a ledger that is the digest of a table of the design."""
    return f"digest of {table}"


def sealed_rows(db: sqlite3.Connection, table: str) -> list[str]:
    """Return the rows of a table that has a digest, one text each, in order."""
    return [text for (text,) in db.execute(SEALED[table])]


def digest_of_rows(rows: Iterable[str]) -> str:
    """Return the digest of the rows of a table."""
    return xxhash.xxh3_64_hexdigest("\n".join(rows).encode())


def _seal(db: sqlite3.Connection) -> None:
    """Write the digests of the tables that stay as they were planned."""
    digests = [(digest_key(table), digest_of_rows(sealed_rows(db, table))) for table in SEALED]
    db.executemany("REPLACE INTO meta VALUES (?, ?)", digests)


def _write_jobs(
    db: sqlite3.Connection,
    jobs: Iterable[StoredJob],
    *,
    state: JobState = JobState.QUEUED,
    parts: dict[str, int] | None = None,
    ranks: dict[str, int] | None = None,
) -> None:
    """Write jobs, and parts of theirs that are not stored: those in ``parts`` are, and jobs in ``ranks``."""
    parts, ranks = parts or {}, ranks or {}
    stored = len(parts)
    first = max(ranks.values(), default=-1) + 1

    def number(part: Any) -> int:
        return parts.setdefault(canonical_json(part), len(parts))

    def rows() -> Iterator[tuple[Any, ...]]:
        for rank, job in enumerate(jobs, first):
            ranks[job.id] = rank
            held = {key: number(part) for key, part in job.spec.items() if isinstance(part, dict)}
            plain = number({key: value for key, value in job.spec.items() if key not in held})
            place = number(job.inputs)
            db.execute("INSERT INTO specs VALUES (?, ?, ?, ?)", (rank, plain, canonical_json(held), place))
            db.executemany("INSERT INTO needs VALUES (?, ?)", [(ranks[need], rank) for need in job.needs])
            yield rank, job.id, job.kind, job.cohort, state, len(job.needs), job.cost

    db.executemany(
        "INSERT INTO jobs (rank, id, kind, cohort, state, waiting, cost) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows(),
    )
    new = ((part, text) for text, part in parts.items() if part >= stored)
    db.executemany("INSERT INTO parts VALUES (?, ?)", new)


def read_spec(db: sqlite3.Connection, rank: int) -> tuple[JsonObject, JsonObject]:
    """Return the spec and the condition of the job with a rank."""
    query = "SELECT plain, parts, condition FROM specs WHERE rank = ?"
    plain, parts, condition = db.execute(query, (rank,)).fetchone()

    def part(number: int) -> JsonObject:
        row = db.execute("SELECT text FROM parts WHERE part = ?", (number,)).fetchone()
        return json.loads(row[0])  # type: ignore[no-any-return]

    held = {key: part(number) for key, number in json.loads(parts).items()}
    return {**part(plain), **held}, part(condition)


def upgrade(db: sqlite3.Connection) -> None:
    """Convert a ledger of schema 1 inside a transaction: the same jobs in the same states."""
    for table in ("meta", "jobs", "needs", "conditions", "cells"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    db.execute("DROP INDEX ready")
    meta = dict(db.execute("SELECT key, value FROM meta_before WHERE key <> 'schema'"))
    needs: dict[str, list[str]] = {}
    for job, needed in db.execute("SELECT job, needed FROM needs_before"):
        needs.setdefault(job, []).append(needed)
    rows = db.execute("SELECT id, kind, spec, condition, cost FROM jobs_before ORDER BY rank")
    jobs = [
        StoredJob(
            id=name,
            kind=kind,
            spec=json.loads(spec),
            inputs=json.loads(condition),
            needs=tuple(needs.get(name, ())),
            cost=cost,
        )
        for name, kind, spec, condition, cost in rows
    ]
    fill(db, meta, jobs, (), ())
    for table in ("conditions", "cells"):
        db.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")
    _seal(db)
    columns = "state, waiting, deaths, host, pid, heartbeat, seconds, error"
    db.execute(f"UPDATE jobs SET ({columns}) = (SELECT {columns} FROM jobs_before WHERE id = jobs.id)")
    for table in ("meta", "jobs", "needs", "conditions", "cells"):
        db.execute(f"DROP TABLE {table}_before")
