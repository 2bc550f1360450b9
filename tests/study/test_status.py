"""The status of a study: time left, the last finished job, and failures by their reason."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from distillab.cli import execute
from distillab.study.job import Job
from distillab.study.ledger import JobFailure, Ledger
from distillab.study.ledger.failures import group_failures
from distillab.study.status import LEDGER_FILE, STUDY_FILE, StudyStatus, study_status
from support.jobs import make_cell, make_job
from support.ledgers import DEAD, META, hold_by

START = round(time.time()) + 1000.0  # later than the start of this process
HOUR = 3600.0


class FakeClock:
    """A clock that is set by hand. It is ahead of every process, as after a change of the system's time."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / STUDY_FILE).write_text(yaml.safe_dump({"study": "demo"}))
    return tmp_path


def ledger_of(folder: Path, clock: Callable[[], float], *jobs: Job) -> Ledger:
    ledger = Ledger(folder / LEDGER_FILE, clock=clock)
    runs = [job.id for job in jobs if job.kind == "student"]
    cells = [make_cell(run, seed=seed, method="kd", size=25) for seed, run in enumerate(runs)]
    ledger.create(META, jobs, [], cells)
    return ledger


def students(count: int, cost: float = 10.0) -> list[Job]:
    return [make_job(f"s{place}", cost=cost) for place in range(count)]


def test_time_left_is_that_of_the_finished_jobs_per_work(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, make_job("t", kind="teacher", cost=40.0), *students(4)) as ledger:
        ledger.done(ledger.claim()[0].id, 80.0)
        ledger.done(ledger.claim()[0].id, 5.0)
        found = study_status(folder, clock=clock)
    assert found.training_seconds_left == pytest.approx(3 * 5.0)  # not at the pace of the teacher
    assert found.workers == 0 and found.wall_seconds_left is None


def test_time_left_is_unknown_before_the_first_job_is_done(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(2)) as ledger:
        ledger.claim()
        found = study_status(folder, clock=clock)
    assert found.training_seconds_left is None and found.wall_seconds_left is None


def test_nothing_is_left_of_a_finished_study(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(1)) as ledger:
        ledger.done(ledger.claim()[0].id, 3.0)
    assert study_status(folder, clock=clock).training_seconds_left == 0.0


def test_wall_time_left_follows_from_the_pace_of_the_running_workers(folder: Path, clock: FakeClock) -> None:
    """Each job takes 60 s of training and 100 s of wall time."""
    with ledger_of(folder, clock, *students(6)) as ledger:
        for _ in range(4):
            job = ledger.claim()[0].id
            clock.now += 100.0
            ledger.done(job, 60.0)
        ledger.claim()
        found = study_status(folder, clock=clock)
    assert found.workers == 1
    assert found.pace == pytest.approx(0.6)
    assert found.training_seconds_left == pytest.approx(120.0)
    assert found.wall_seconds_left == pytest.approx(200.0)


def test_pause_of_a_study_does_not_count_as_slow(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(8)) as ledger:
        for _ in range(4):  # by another process, a day ago
            job = ledger.claim()[0].id
            ledger.done(job, 60.0)
            ledger.db.execute("UPDATE jobs SET pid = ? WHERE id = ?", (DEAD, job))
        clock.now += 24 * HOUR
        ledger.done(ledger.claim()[0].id, 60.0)
        ledger.claim()
        found = study_status(folder, clock=clock)
    assert found.pace is None
    assert found.wall_seconds_left == pytest.approx(3 * 60.0)


def test_dead_worker_is_not_counted(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(2)) as ledger:
        ledger.claim()
        ledger.claim()
        hold_by(ledger, "s0", pid=DEAD)
        assert study_status(folder, clock=clock).workers == 1
        hold_by(ledger, "s1", pid=os.getpid(), host="elsewhere", age=HOUR)
        assert study_status(folder, clock=clock).workers == 0


def test_last_finished_job_is_named_with_its_place_in_the_design(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(3)) as ledger:
        assert study_status(folder, clock=clock).last_finished is None
        ledger.done(ledger.claim()[0].id, 3.0)
        clock.now += 7.0
        ledger.done(ledger.claim()[0].id, 4.0)
        clock.now += 9.0
        last = study_status(folder, clock=clock).last_finished
    assert last is not None
    assert (last.id, last.state, last.at, last.seconds) == ("s1", "done", START + 7.0, 4.0)
    assert last.what == "resnet8, kd, size 25, seed 1"


def test_failures_are_grouped_by_reason(folder: Path, clock: FakeClock) -> None:
    jobs = [
        make_job("t", kind="teacher", cost=1.0),
        make_job("o", "t", kind="outputs", cost=1.0),
        make_job("s0", "o", cost=1.0),
        *(make_job(f"s{place}", cost=1.0) for place in (1, 2)),
    ]
    with ledger_of(folder, clock, *jobs) as ledger:
        for job, error in (("t", "MemoryError: full"), ("s1", "Diverged: nan"), ("s2", "Diverged: nan")):
            ledger.claim()
            ledger.fail(job, error)
        found = study_status(folder, clock=clock)
    assert [(each.error, each.ids, each.needing) for each in found.reasons] == [
        ("Diverged: nan", ("s1", "s2"), 0),
        ("MemoryError: full", ("t",), 2),
    ]
    assert str(found.reasons[1]) == "1 job failed: MemoryError: full (t); 2 jobs need it"


def test_reason_that_no_listed_job_raised_is_kept() -> None:
    [reason] = group_failures([JobFailure("s", "student", "needs teacher t, which failed: OSError: gone")])
    assert (reason.error, reason.ids, reason.needing) == ("OSError: gone", (), 1)


def test_keys_of_json_are_only_added(folder: Path, clock: FakeClock) -> None:
    with ledger_of(folder, clock, *students(1)):
        found = study_status(folder, clock=clock).as_dict()
    assert {"study", "jobs", "share_done", "seconds", "failures"} < found.keys()
    assert {"workers", "wall_seconds_left", "training_seconds_left", "last_finished"} < found.keys()
    json.dumps(found)


def test_status_prints_time_left_last_job_and_reasons(
    folder: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ledger_of(folder, clock, *students(4)) as ledger:
        ledger.done(ledger.claim()[0].id, 75.0)
        ledger.claim()
        ledger.fail("s1", "Diverged: [nan]")
    assert execute(["status", str(folder)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "about 0:02:30 of training time left; no worker is running" in printed
    assert "last finished: student s1 (resnet8, kd, size 25, seed 1), failed" in printed
    assert "1 job failed: Diverged: [nan] (s1)" in printed


def test_status_of_older_versions_is_complete() -> None:
    assert StudyStatus("demo", {}, 0.0, {}, ()).as_dict()["wall_seconds_left"] is None
