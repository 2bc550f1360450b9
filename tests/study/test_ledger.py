"""The ledger: jobs run in planned order, each once, and failures reach their dependents."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillab.study.job import Job
from distillab.study.ledger import JobState, Ledger
from distillab.study.ledger import connection as connection_module
from distillab.study.ledger.connection import transaction
from support.jobs import make_cell, make_condition
from support.ledgers import META, chain, claim, numbered, states

QUEUED = {"teacher": {"queued": 1}, "outputs": {"queued": 1}, "student": {"queued": 3}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as made:
        made.create(META, chain(), [], [])
        yield made


def test_jobs_run_in_planned_order_after_their_needs(ledger: Ledger) -> None:
    assert (claim(ledger), claim(ledger), claim(ledger)) == ("job0", "job2", None)
    ledger.done("job0", 1.0)
    assert (claim(ledger), claim(ledger)) == ("job1", None)
    ledger.done("job1", 2.0)
    assert (claim(ledger), claim(ledger), claim(ledger)) == ("job3", "job4", None)
    assert states(ledger) == ["done", "done", "running", "running", "running"]
    assert ledger.seconds() == {"teacher": (1, 1.0), "outputs": (1, 2.0)}
    assert ledger.open_jobs() == 3


def test_claimed_job_is_the_planned_one(ledger: Ledger) -> None:
    planned = dataclasses.replace(chain()[0], cost=0.0)  # costs are for the plan alone
    assert ledger.claim() == [planned]
    assert ledger.job("job0") == planned
    assert ledger.job("unknown") is None


def test_done_twice_changes_nothing(ledger: Ledger) -> None:
    claim(ledger)
    ledger.done("job0", 1.0)
    ledger.done("job0", 99.0)
    claim(ledger)
    ledger.done("job1", 1.0)
    ledger.done("job1", 1.0)
    assert ledger.states()["job0"] == (JobState.DONE, 1.0, None)
    waiting = dict(ledger.db.execute("SELECT id, waiting FROM jobs"))
    assert waiting == dict.fromkeys(waiting, 0)


def test_failure_reaches_all_dependents_with_its_cause(ledger: Ledger) -> None:
    claim(ledger)
    ledger.fail("job0", "DivergenceError: the loss is not finite")
    assert states(ledger) == ["failed", "failed", "queued", "failed", "failed"]
    errors = {failure.id: failure.error for failure in ledger.failures()}
    assert list(errors) == ["job0", "job1", "job3", "job4"]
    assert errors["job0"] == "DivergenceError: the loss is not finite"
    for dependent in ("job1", "job3", "job4"):
        assert "teacher job0" in errors[dependent]
        assert "the loss is not finite" in errors[dependent]
    assert claim(ledger) == "job2"  # the study goes on
    ledger.done("job2", 1.0)
    assert ledger.open_jobs() == 0
    assert ledger.progress() == (15.0, 15.0)


def test_failure_after_another_worker_was_done_changes_nothing(ledger: Ledger) -> None:
    """A worker that lost its lease fails while the one that took over has finished."""
    claim(ledger)
    ledger.done("job0", 1.0)
    ledger.fail("job0", "too late")
    assert states(ledger) == ["done", "queued", "queued", "queued", "queued"]
    assert ledger.failures() == []


def test_failed_jobs_can_be_retried(ledger: Ledger) -> None:
    claim(ledger)
    ledger.fail("job0", "once")
    assert ledger.retry_failed() == 4
    assert ledger.failures() == []
    order = []
    while (name := claim(ledger)) is not None:
        order.append(name)
        ledger.done(name, 1.0)
    assert order == ["job0", "job1", "job2", "job3", "job4"]
    assert ledger.retry_failed() == 0


def test_released_job_is_claimed_again_without_a_death(ledger: Ledger) -> None:
    assert claim(ledger) == "job0"
    ledger.release("job0")
    assert claim(ledger) == "job0"
    ledger.done("job0", 1.0)
    ledger.release("job0")  # too late to matter
    assert states(ledger)[0] == "done"
    assert ledger.db.execute("SELECT SUM(deaths) FROM jobs").fetchone() == (0,)


def test_plan_is_read_back_by_another_connection(path: Path) -> None:
    cells = [make_cell("x", method="kd", size=5.0), make_cell(None)]
    conditions = [make_condition(3, size=5.0), make_condition(1)]
    with Ledger(path) as ledger:
        assert ledger.meta("schema") is None
        ledger.create(META, chain(), conditions, cells)
    with Ledger(path) as again:
        assert again.cells() == cells
        assert again.conditions() == conditions
        assert again.meta("identity") == "i"
        assert again.meta("unknown") is None
        assert again.tally() == QUEUED


def test_plan_is_written_completely_or_not_at_all(path: Path) -> None:
    def jobs() -> Iterator[Job]:
        yield numbered(0)
        raise RuntimeError("planning broke")

    with Ledger(path) as ledger:
        with pytest.raises(RuntimeError, match="planning broke"):
            ledger.create(META, jobs(), [], [])
        assert ledger.meta("schema") is None
        assert ledger.db.execute("SELECT name FROM sqlite_master").fetchall() == []
        ledger.create(META, chain(), [], [])
        assert len(ledger.states()) == 5


def test_full_disk_is_reported_as_such(path: Path) -> None:
    """SQLite rolls back by itself when the disk is full; a second rollback would raise another error."""
    with Ledger(path) as ledger:
        ledger.create(META, [], [], [])
        pages = ledger.db.execute("PRAGMA page_count").fetchone()[0]
        ledger.db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(ledger.db):
            ledger.db.execute("INSERT INTO meta VALUES ('big', ?)", ("x" * 100_000,))


def test_read_only_ledger_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(path) as ledger:
        ledger.create(META, chain(), [make_condition(0)], [])
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(connection_module.os, "access", lambda *_: False)
    with Ledger(path) as reader:
        assert reader.tally() == QUEUED
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.claim()
        assert sorted(path.parent.iterdir()) == before, "no log was created"


def test_log_is_moved_by_the_watching_process_only(path: Path) -> None:
    log = path.with_name("ledger.sqlite-wal")
    with Ledger(path) as worker, Ledger(path) as watcher:
        worker.create(META, chain(), [], [])
        for _ in range(2000):
            worker.heartbeat("job0")
        assert log.stat().st_size > 4_000_000, "SQLite itself would have started again at 1,000 pages"
        unmoved = path.stat().st_mtime_ns
        watcher.tidy()
        assert path.stat().st_mtime_ns == unmoved, "not yet due"
        watcher.tidy(every=0.0)
        assert path.stat().st_mtime_ns > unmoved
        size = log.stat().st_size
        worker.heartbeat("job0")
        assert log.stat().st_size == size, "the log starts again"
