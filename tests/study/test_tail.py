"""The last jobs of a study, which share the processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Job, Ledger
from distillab.study.running.executors import processes as module
from distillab.study.running.executors import tail as closing
from distillab.study.running.executors.processes import processes
from distillab.study.running.executors.tail import extra_workers
from support import dying_workers as doomed
from support.jobs import make_job
from support.studies import silent, write_study

CREW = (11, 12)


@pytest.fixture(autouse=True)
def machine_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "usable_cores", lambda: 2)
    monkeypatch.setattr(closing, "FORKED", True)
    monkeypatch.setattr(closing, "_age_and_memory", lambda pid: (60.0, 10))
    monkeypatch.setattr(closing, "free_memory", lambda: 1000)


def job(name: str, cohort: str = "", needs: tuple[str, ...] = ()) -> Job:
    return make_job(name, *needs, cost=1.0, cohort=cohort)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as made:
        yield made


def begin(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *jobs: Job, crew: tuple[int, ...] = CREW) -> None:
    """Enter jobs, and have each of the crew take one."""
    ledger.create({}, jobs, [], [])
    for pid in crew:
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        assert ledger.claim()


def test_what_is_left_for_one_of_two_begins_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 1
    assert extra_workers(ledger, (*CREW, 13), workers=2, threads=1) == 0, "13 is about to take it"


def test_nobody_is_added_while_there_is_work_for_all(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ledger, monkeypatch, *(job(name) for name in "abcd"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 0


def test_who_is_idle_takes_what_is_left(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ledger, monkeypatch, job("a"), job("b"), crew=(11,))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 0


def test_a_job_that_waits_for_another_needs_nobody(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ledger, monkeypatch, job("a"), job("b"), job("c", needs=("a",)))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 0


def test_a_cohort_is_work_for_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "usable_cores", lambda: 3)
    begin(
        ledger,
        monkeypatch,
        *(job(name) for name in "abc"),
        job("d", "mates"),
        job("e", "mates"),
        crew=(1, 2, 3),
    )
    assert extra_workers(ledger, (1, 2, 3), workers=3, threads=1) == 1


@pytest.mark.parametrize(
    ("cores", "threads", "extra"), [(2, 1, 1), (1, 1, 1), (4, 1, 0), (2, 2, 0), (4, 2, 0)]
)
def test_no_more_processors_are_taken_than_were_asked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, extra: int
) -> None:
    """And none where workers of several threads would wait for each other."""
    monkeypatch.setattr(closing, "usable_cores", lambda: cores)
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=threads) == extra


def test_nobody_is_added_where_workers_are_not_forked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "FORKED", False)
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 0


def test_nobody_is_added_before_it_is_known_what_a_worker_takes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_age_and_memory", lambda pid: (60.0 if pid == 11 else 1.0, 10))
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == 0


def test_several_are_added_at_once_as_far_as_memory_goes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "usable_cores", lambda: 4)
    begin(ledger, monkeypatch, *(job(name) for name in "abcdefg"), crew=(1, 2, 3, 4))
    assert extra_workers(ledger, (1, 2, 3, 4), workers=4, threads=1) == 3
    monkeypatch.setattr(closing, "free_memory", lambda: 45)
    assert extra_workers(ledger, (1, 2, 3, 4), workers=4, threads=1) == 2


def test_a_process_is_known_by_its_age_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    age, memory = closing._age_and_memory(os.getpid())
    assert age > 0
    assert memory > 2**20
    assert closing._age_and_memory(2**30) == (0.0, 0)


@pytest.mark.parametrize(("free", "extra"), [(19, 0), (20, 1)])
def test_nobody_is_added_for_whom_there_is_no_memory(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, free: int, extra: int
) -> None:
    monkeypatch.setattr(closing, "free_memory", lambda: free)
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == extra


def three_jobs_done_by_two(path: Path) -> Ledger:
    """The ledger of three jobs after two workers, and whoever was added, have ended."""
    folder = StudyFolder(path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create({}, [job(name) for name in "abc"], [], [])
    processes(folder, workers=2, device="cpu", watch=silent)
    return folder.ledger()


@pytest.mark.parametrize(
    ("cores", "work", "ends"),
    [(2, doomed.meet_two_others, {"done"}), (3, doomed.give_up_soon, {"failed", "done"})],
)
def test_three_jobs_on_two_processors_are_done_side_by_side(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    work: Callable[[str, str], None],
    ends: set[str],
) -> None:
    """And not where two workers are fewer than there are processors: the first to lose patience is alone with
    one other."""
    monkeypatch.setattr(closing, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "_work", work)
    with three_jobs_done_by_two(tmp_path) as ledger:
        assert {state for state, _, _ in ledger.states().values()} == ends


def test_an_extra_worker_that_dies_takes_nobody_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than usual may have died of each other: nobody is blamed, replaced or added any more."""
    monkeypatch.setattr(module, "_work", doomed.die_of_the_crowd)
    with three_jobs_done_by_two(tmp_path) as ledger:
        assert {state for state, _, _ in ledger.states().values()} == {"done"}
        assert ledger.db.execute("SELECT MAX(deaths) FROM jobs").fetchone() == (0,)
    assert len((tmp_path / "dead").read_text().split()) == 1
