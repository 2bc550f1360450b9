"""The last jobs of a study, which share the processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import doomed
import psutil
import pytest
from small_study import silent, write_study

from distillab.study.executors import closing
from distillab.study.executors import processes as module
from distillab.study.executors.closing import extra_workers
from distillab.study.executors.processes import processes
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Job, Ledger

CREW = (11, 12)


@pytest.fixture(autouse=True)
def machine_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "usable_cores", lambda: 2)
    monkeypatch.setattr(closing, "_resident", lambda pid: 10)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))


def job(name: str, cohort: str = "", needs: tuple[str, ...] = ()) -> Job:
    return Job(name, "student", {}, {}, needs, 1.0, cohort)


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


@pytest.mark.parametrize(("threads", "extra"), [(1, 0), (2, 1)])
def test_no_more_processors_are_taken_than_were_asked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, threads: int, extra: int
) -> None:
    monkeypatch.setattr(closing, "usable_cores", lambda: 4)
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=threads) == extra


@pytest.mark.parametrize(("free", "extra"), [(19, 0), (20, 1)])
def test_nobody_is_added_for_whom_there_is_no_memory(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, free: int, extra: int
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    begin(ledger, monkeypatch, job("a"), job("b"), job("c"))
    assert extra_workers(ledger, CREW, workers=2, threads=1) == extra


@pytest.mark.parametrize(("cores", "ended"), [(2, "done"), (3, "failed")])
def test_three_jobs_on_two_processors_are_done_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, ended: str
) -> None:
    """And not where two workers are fewer than there are processors: the first then finds no company."""
    monkeypatch.setattr(closing, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "_work", doomed.meet_two_others)
    folder = StudyFolder(tmp_path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create({}, [job(name) for name in "abc"], [], [])
    processes(folder, workers=2, device="cpu", watch=silent)
    with folder.ledger() as ledger:
        states = {name: state for name, (state, _, _) in ledger.states().items()}
    assert states["a"] == ended
