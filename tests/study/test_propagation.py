"""Many jobs that need one: they hear how it ended, in short transactions, whoever dies meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distillab.study.ledger import propagation as telling
from distillab.study.ledger.ledger import Ledger
from support.jobs import make_job

PORTION, MANY = 10, 35


class DiedError(Exception):
    """What a worker that is killed does next."""


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PORTION", PORTION)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A teacher, its outputs, and as many students of each; the teacher runs."""
    jobs = [make_job("teacher", kind="teacher"), make_job("outputs", "teacher", kind="outputs")]
    jobs += [make_job(f"live {number}", "teacher") for number in range(MANY)]
    jobs += [make_job(f"told {number}", "teacher", "outputs") for number in range(MANY)]
    made = tmp_path / "ledger.sqlite"
    with Ledger(made) as ledger:
        ledger.create({"schema": "2"}, jobs, [], [])
        assert [job.id for job in ledger.claim()] == ["teacher"]
    return made


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def claimed(ledger: Ledger) -> list[str]:
    """Everything that can be claimed now."""
    names = []
    while jobs := ledger.claim():
        names += [job.id for job in jobs]
    return names


def die_while_telling(path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[Ledger], None]) -> None:
    with monkeypatch.context() as patched, Ledger(path) as ledger:
        patched.setattr(Ledger, "_tell_on", lambda self: (_ for _ in ()).throw(DiedError))
        with pytest.raises(DiedError):
            end(ledger)


def test_all_hear_that_it_is_done(ledger: Ledger) -> None:
    ledger.done("teacher", 1.0)
    assert claimed(ledger) == ["outputs", *(f"live {number}" for number in range(MANY))]
    ledger.done("outputs", 1.0)
    assert claimed(ledger) == [f"told {number}" for number in range(MANY)]


def test_all_fail_with_it_and_say_why(ledger: Ledger) -> None:
    ledger.fail("teacher", "too large")
    assert ledger.open_jobs() == 0
    causes = {failure.error for failure in ledger.failures()}
    assert causes == {"too large", "needs teacher teacher, which failed: too large"}


@pytest.mark.parametrize(
    "end", [lambda each: each.done("teacher", 1.0), lambda each: each.fail("teacher", "why")]
)
def test_no_transaction_tells_more_than_a_portion(ledger: Ledger, end: Callable[[Ledger], None]) -> None:
    """A job that is told changes at most four rows: its own, the two sums of its states, and a note."""
    changed = [ledger.db.total_changes]
    ledger.db.set_trace_callback(
        lambda statement: changed.append(ledger.db.total_changes) if statement == "COMMIT" else None
    )
    end(ledger)
    steps = [after - before for before, after in itertools.pairwise(changed)]
    assert len(steps) > MANY / PORTION
    assert max(steps) <= 4 * PORTION + 4


def test_who_takes_over_from_a_dead_teller_tells_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_while_telling(path, monkeypatch, lambda ledger: ledger.done("teacher", 1.0))
    with Ledger(path) as ledger:
        assert sorted(claimed(ledger)) == sorted(["outputs", *(f"live {number}" for number in range(MANY))])
        ledger.done("outputs", 1.0)
        assert len(claimed(ledger)) == MANY


def test_nobody_waits_for_ever_for_what_failed_while_a_teller_died(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_while_telling(path, monkeypatch, lambda ledger: ledger.fail("teacher", "why"))
    with Ledger(path) as ledger:
        assert ledger.open_jobs() > 0
        assert claimed(ledger) == []
        assert ledger.open_jobs() == 0


def test_what_is_tried_again_is_not_failed_afterwards(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die_while_telling(path, monkeypatch, lambda ledger: ledger.fail("teacher", "why"))
    with Ledger(path) as ledger:
        assert ledger.retry_failed() == 2 + 2 * MANY
        assert claimed(ledger) == ["teacher"]
        ledger.done("teacher", 1.0)
        assert len(claimed(ledger)) == 1 + MANY
        assert ledger.failures() == []


def test_a_ledger_of_before_there_were_portions_serves(path: Path) -> None:
    with Ledger(path) as ledger:
        tables: list[Any] = ledger.db.execute(
            "SELECT name FROM sqlite_master WHERE name = 'untold'"
        ).fetchall()
        assert tables == []
        ledger.done("teacher", 1.0)
        assert len(claimed(ledger)) == 1 + MANY


def test_the_log_is_moved_by_who_watches_and_by_nobody_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillab.study.ledger import ledger as module

    log = path.with_name("ledger.sqlite-wal")
    with Ledger(path) as worker, Ledger(path) as watcher:
        for _ in range(2000):
            worker.beat("teacher")
        assert log.stat().st_size > 4_000_000, "SQLite itself would have begun anew at 1,000 pages"
        unmoved = path.stat().st_mtime_ns
        watcher.tidy()
        assert path.stat().st_mtime_ns == unmoved, "not yet due"
        monkeypatch.setattr(module, "TIDY_SECONDS", -1.0)
        watcher.tidy()
        assert path.stat().st_mtime_ns > unmoved
        size = log.stat().st_size
        worker.beat("teacher")
        assert log.stat().st_size == size, "the log begins anew"
