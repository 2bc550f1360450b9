"""Many threads or processes on one ledger: one plan is written, and every job runs once."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillab.study.ledger import Ledger
from support.jobs import make_cell, make_condition
from support.ledgers import META, claim, numbered

Start = Callable[[Callable[..., None], tuple[Any, ...]], Any]


def in_threads(body: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    return threading.Thread(target=body, args=arguments)


def in_processes(body: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    return multiprocessing.get_context("fork").Process(target=body, args=arguments)


WAYS = [
    pytest.param(in_threads, id="threads"),
    pytest.param(
        in_processes,
        id="processes",
        marks=pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"),
    ),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def all_at_once(start: Start, body: Callable[..., None], folder: Path, count: int) -> list[str]:
    """Run ``body(number, gate, log)`` many times at once; return what each wrote into its log."""
    folder.mkdir()
    gate = multiprocessing.get_context().Event()
    crew = [start(body, (number, gate, folder / f"{number}.log")) for number in range(count)]
    for each in crew:
        each.start()
    gate.set()
    for each in crew:
        each.join()
    logs = [folder / f"{number}.log" for number in range(count)]
    return [log.read_text() if log.exists() else "did not finish" for log in logs]


@pytest.mark.parametrize("start", WAYS)
def test_one_of_many_planners_writes_the_plan(path: Path, start: Start) -> None:
    def create(number: int, gate: Any, log: Path) -> None:
        gate.wait()
        with Ledger(path) as ledger:
            jobs, cells = [numbered(n) for n in range(20)], [make_cell("a"), make_cell("b")]
            ledger.create({**META, "by": str(number)}, jobs, [make_condition(0)], cells)
            log.write_text(ledger.meta("by") or "")

    writers = all_at_once(start, create, path.with_name("logs"), 6)
    assert len(set(writers)) == 1  # all see the same plan
    assert writers[0] in [str(number) for number in range(6)]
    with Ledger(path) as ledger:
        assert len(ledger.states()) == 20
        assert (len(ledger.conditions()), len(ledger.cells())) == (1, 2)


@pytest.mark.parametrize("start", WAYS)
def test_many_workers_run_every_job_once_after_its_needs(path: Path, start: Start) -> None:
    jobs = [
        numbered(number, *{n for n in (number // 3 - 1, number - 5) if 0 <= n < number})
        for number in range(60)
    ]
    with Ledger(path) as ledger:
        ledger.create(META, jobs, [], [])
    needs = {each.id: set(each.needs) for each in jobs}

    def work(number: int, gate: Any, log: Path) -> None:
        gate.wait()
        mine = []
        with Ledger(path) as ledger:
            while ledger.open_jobs():
                name = claim(ledger)
                if name is None:
                    continue
                assert all(ledger.states()[need].state == "done" for need in needs[name])
                mine.append(name)
                ledger.done(name, 1.0)
        log.write_text(" ".join(mine))

    logs = all_at_once(start, work, path.with_name("logs"), 4)
    ran = list(itertools.chain.from_iterable(log.split() for log in logs))
    assert sorted(ran) == sorted(each.id for each in jobs)
    with Ledger(path) as ledger:
        assert {status.state for status in ledger.states().values()} == {"done"}


def test_simultaneous_claims_are_exclusive(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.create(META, [numbered(n) for n in range(3)], [], [])

    def reach(number: int, gate: Any, log: Path) -> None:
        gate.wait()
        with Ledger(path) as mine:
            log.write_text(claim(mine) or "")

    claimed = all_at_once(in_threads, reach, path.with_name("logs"), 10)
    assert sorted(filter(None, claimed)) == ["job0", "job1", "job2"]
