"""The tail of a study: extra workers share the processors when fewer jobs than workers are left."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.ledger import Ledger
from distillab.study.running.executors.processes import processes
from distillab.study.running.executors.tail import Host, age_and_memory, extra_workers
from support import dying_workers
from support.jobs import make_job
from support.ledgers import hold_by
from support.studies import check_share, write_study

CREW = (11, 12)


def host(*, cores: int = 2, free: int = 1000, age: float = 60.0, forked: bool = True) -> Host:
    """A machine on which every worker takes 10 bytes."""
    return Host(lambda: cores, lambda: free, lambda pid: (age, 10), forked)


def jobs(names: str) -> list[Job]:
    return [make_job(name, cost=1.0) for name in names]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as made:
        yield made


def start(ledger: Ledger, planned: list[Job], crew: tuple[int, ...] = CREW) -> None:
    """Write jobs, and let each of the crew claim one."""
    ledger.create({}, planned, [], [])
    for pid in crew:
        [claimed] = ledger.claim()
        hold_by(ledger, claimed.id, pid=pid)


def extra(ledger: Ledger, machine: Host, crew: tuple[int, ...] = CREW, threads: int = 1) -> int:
    return extra_workers(ledger, crew, workers=len(crew), threads=threads, host=machine)


def test_last_job_of_three_starts_at_once(ledger: Ledger) -> None:
    start(ledger, jobs("abc"))
    assert extra(ledger, host()) == 1
    idle = (*CREW, 13)  # 13 is about to claim it
    assert extra_workers(ledger, idle, workers=2, threads=1, host=host()) == 0


def test_no_worker_is_added_while_there_are_enough_jobs(ledger: Ledger) -> None:
    start(ledger, jobs("abcd"))
    assert extra(ledger, host()) == 0


def test_idle_worker_takes_the_last_job(ledger: Ledger) -> None:
    start(ledger, jobs("ab"), crew=(11,))
    assert extra(ledger, host()) == 0


def test_job_that_waits_for_another_needs_no_worker(ledger: Ledger) -> None:
    start(ledger, [*jobs("ab"), make_job("c", "a", cost=1.0)])
    assert extra(ledger, host()) == 0


def test_cohort_is_work_for_one_worker(ledger: Ledger) -> None:
    cohort = [make_job(name, cost=1.0, cohort="mates") for name in "de"]
    start(ledger, [*jobs("abc"), *cohort], crew=(1, 2, 3))
    assert extra(ledger, host(cores=3), crew=(1, 2, 3)) == 1


@pytest.mark.parametrize(
    ("cores", "threads", "added"), [(2, 1, 1), (1, 1, 1), (4, 1, 0), (2, 2, 0), (4, 2, 0)]
)
def test_requested_processors_are_not_exceeded(ledger: Ledger, cores: int, threads: int, added: int) -> None:
    """And workers of several threads would wait for each other."""
    start(ledger, jobs("abc"))
    assert extra(ledger, host(cores=cores), threads=threads) == added


def test_no_worker_is_added_where_starting_is_slow(ledger: Ledger) -> None:
    start(ledger, jobs("abc"))
    assert extra(ledger, host(forked=False)) == 0


def test_no_worker_is_added_before_memory_use_is_known(ledger: Ledger) -> None:
    machine = dataclasses.replace(host(), age_and_memory=lambda pid: (60.0 if pid == 11 else 1.0, 10))
    start(ledger, jobs("abc"))
    assert extra(ledger, machine) == 0


def test_several_workers_are_added_as_memory_allows(ledger: Ledger) -> None:
    crew = (1, 2, 3, 4)
    start(ledger, jobs("abcdefg"), crew=crew)
    assert extra(ledger, host(cores=4), crew) == 3
    assert extra(ledger, host(cores=4, free=45), crew) == 2


@pytest.mark.parametrize(("free", "added"), [(19, 0), (20, 1)])
def test_extra_worker_needs_twice_the_memory_of_the_largest(ledger: Ledger, free: int, added: int) -> None:
    start(ledger, jobs("abc"))
    assert extra(ledger, host(free=free)) == added


def test_age_and_memory_of_a_process() -> None:
    age, memory = age_and_memory(os.getpid())
    assert age > 0
    assert memory > 2**20
    assert age_and_memory(2**30) == (0.0, 0)


def ledger_after(path: Path, machine: Host, body: Callable[[str, str], None]) -> Ledger:
    """Return the ledger of three jobs after two workers, and any extra ones, have ended."""
    folder = StudyFolder(path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create({}, jobs("abc"), [], [])
    processes(folder, workers=2, device="cpu", on_progress=check_share, body=body, host=machine)
    return folder.ledger()


@pytest.mark.parametrize(
    ("cores", "body", "ends"),
    [(2, dying_workers.meet_two_others, {"done"}), (3, dying_workers.give_up_soon, {"failed", "done"})],
    ids=["two cores", "three cores"],
)
def test_three_jobs_on_two_processors_run_side_by_side(
    tmp_path: Path, cores: int, body: Callable[[str, str], None], ends: set[str]
) -> None:
    """With three processors no worker is added, and the first to give up has met only one other."""
    with ledger_after(tmp_path, host(cores=cores), body) as ledger:
        assert {status.state for status in ledger.states().values()} == ends


def test_death_of_an_extra_worker_counts_against_no_job(tmp_path: Path) -> None:
    """The workers may have run out of memory together: none is replaced or added afterwards."""
    with ledger_after(tmp_path, host(), dying_workers.die_of_the_crowd) as ledger:
        assert {status.state for status in ledger.states().values()} == {"done"}
        assert ledger.db.execute("SELECT MAX(deaths) FROM jobs").fetchone() == (0,)
    assert len((tmp_path / "dead").read_text().split()) == 1
