"""Many dependents of one job: all are updated, in short transactions, even if a process dies meanwhile."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distillab.study.ledger import Ledger
from support.jobs import make_job

BATCH, MANY = 10, 35


class DiedError(Exception):
    """Raised where a killed process would have stopped."""


class DyingConnection:
    """A connection whose process dies at its second transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.transactions = db, 0

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self.transactions += statement == "BEGIN IMMEDIATE"
        if self.transactions > 1:
            raise DiedError
        return self.db.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


def opened(path: Path) -> Ledger:
    return Ledger(path, batch_size=BATCH)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A teacher, its outputs, and as many students of each; the teacher is running."""
    jobs = [make_job("teacher", kind="teacher"), make_job("outputs", "teacher", kind="outputs")]
    jobs += [make_job(f"live {number}", "teacher") for number in range(MANY)]
    jobs += [make_job(f"stored {number}", "teacher", "outputs") for number in range(MANY)]
    made = tmp_path / "ledger.sqlite"
    with Ledger(made) as ledger:
        ledger.create({"schema": "2"}, jobs, [], [])
        assert [each.id for each in ledger.claim()] == ["teacher"]
    return made


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with opened(path) as made:
        yield made


def claimed(ledger: Ledger) -> list[str]:
    """Everything that can be claimed now."""
    names = []
    while jobs := ledger.claim():
        names += [each.id for each in jobs]
    return names


def die_after_one_batch(path: Path, end: Callable[[Ledger], None]) -> None:
    with opened(path) as ledger:
        ledger.db = DyingConnection(ledger.db)
        with pytest.raises(DiedError):
            end(ledger)


def test_all_dependents_become_ready(ledger: Ledger) -> None:
    ledger.done("teacher", 1.0)
    assert claimed(ledger) == ["outputs", *(f"live {number}" for number in range(MANY))]
    ledger.done("outputs", 1.0)
    assert claimed(ledger) == [f"stored {number}" for number in range(MANY)]


def test_all_dependents_fail_with_the_cause(ledger: Ledger) -> None:
    ledger.fail("teacher", "too large")
    assert ledger.open_jobs() == 0
    causes = {failure.error for failure in ledger.failures()}
    assert causes == {"too large", "needs teacher teacher, which failed: too large"}


@pytest.mark.parametrize(
    "end",
    [lambda ledger: ledger.done("teacher", 1.0), lambda ledger: ledger.fail("teacher", "why")],
    ids=["done", "failed"],
)
def test_no_transaction_exceeds_a_batch(ledger: Ledger, end: Callable[[Ledger], None]) -> None:
    """A dependent changes at most four rows: its own, the two sums of its states, and a notification."""
    changed = [ledger.db.total_changes]
    ledger.db.set_trace_callback(
        lambda statement: changed.append(ledger.db.total_changes) if statement == "COMMIT" else None
    )
    end(ledger)
    steps = [after - before for before, after in itertools.pairwise(changed)]
    assert len(steps) > MANY / BATCH
    assert max(steps) <= 4 * BATCH + 4


def test_another_process_finishes_the_propagation_of_a_dead_one(path: Path) -> None:
    die_after_one_batch(path, lambda ledger: ledger.done("teacher", 1.0))
    with opened(path) as ledger:
        assert sorted(claimed(ledger)) == sorted(["outputs", *(f"live {number}" for number in range(MANY))])
        ledger.done("outputs", 1.0)
        assert len(claimed(ledger)) == MANY


def test_pending_failure_of_a_dead_process_reaches_all_dependents(path: Path) -> None:
    die_after_one_batch(path, lambda ledger: ledger.fail("teacher", "why"))
    with opened(path) as ledger:
        assert ledger.open_jobs() > 0
        assert claimed(ledger) == []
        assert ledger.open_jobs() == 0


def test_pending_failure_does_not_fail_retried_jobs(path: Path) -> None:
    die_after_one_batch(path, lambda ledger: ledger.fail("teacher", "why"))
    with opened(path) as ledger:
        assert ledger.retry_failed() == 2 + 2 * MANY
        assert claimed(ledger) == ["teacher"]
        ledger.done("teacher", 1.0)
        assert len(claimed(ledger)) == 1 + MANY
        assert ledger.failures() == []


def test_ledger_without_the_table_of_notifications_works(path: Path) -> None:
    with opened(path) as ledger:
        query = "SELECT name FROM sqlite_master WHERE name = 'untold'"
        assert ledger.db.execute(query).fetchall() == []
        ledger.done("teacher", 1.0)
        assert len(claimed(ledger)) == 1 + MANY
