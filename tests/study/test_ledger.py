"""The ledger: every job is done once, whoever dies on the way."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from distillab.study.ledger import ledger as ledger_module
from distillab.study.ledger import propagation as telling
from distillab.study.ledger.ledger import LEASE_SECONDS, MOST_DEATHS, Job, Ledger
from distillab.study.liveness import is_alive
from support.jobs import make_cell, make_condition, make_job

META = {"dataset": "d", "identity": "i"}


def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


DEAD = dead_pid()


def job(number: int, *needs: int, kind: Any = "student") -> Job:
    names = (f"job{n}" for n in needs)
    return make_job(f"job{number}", *names, kind=kind, cost=1.0 + number, seed=number)


def chain() -> list[Job]:
    """A teacher, its outputs, two students of it, and a plain one."""
    return [
        job(0, kind="teacher"),
        job(1, 0, kind="outputs"),
        job(2),
        job(3, 1),
        job(4, 1, 0),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as made:
        made.create(META, chain(), [], [])
        yield made


def states(ledger: Ledger) -> list[str]:
    return [state for _, (state, _, _) in sorted(ledger.states().items())]


def claim(ledger: Ledger) -> str | None:
    taken = ledger.claim()
    return taken[0].id if taken else None


def held_by(ledger: Ledger, name: str, *, pid: int, host: str | None = None, age: float = 0.0) -> None:
    """As if another worker had claimed a job ``age`` seconds ago."""
    ledger.db.execute(
        "UPDATE jobs SET pid = ?, host = ?, heartbeat = heartbeat - ? WHERE id = ?",
        (pid, host or ledger.host, age, name),
    )


# -- one after the other -------------------------------------------------------------------------------------


def test_jobs_come_in_planned_order_and_after_what_they_need(ledger: Ledger) -> None:
    assert (claim(ledger), claim(ledger), claim(ledger)) == ("job0", "job2", None)
    ledger.done("job0", 1.0)
    assert (claim(ledger), claim(ledger)) == ("job1", None)
    ledger.done("job1", 2.0)
    assert (claim(ledger), claim(ledger), claim(ledger)) == ("job3", "job4", None)
    assert states(ledger) == ["done", "done", "running", "running", "running"]
    assert ledger.seconds() == {"teacher": (1, 1.0), "outputs": (1, 2.0)}
    assert ledger.open_jobs() == 3


def test_a_claimed_job_is_what_was_planned(ledger: Ledger) -> None:
    [taken] = ledger.claim()
    assert taken == dataclasses.replace(chain()[0], cost=0.0)
    assert ledger.job("job0") == taken
    assert ledger.job("nobody") is None


def test_to_be_done_twice_is_harmless(ledger: Ledger) -> None:
    claim(ledger)
    ledger.done("job0", 1.0)
    ledger.done("job0", 99.0)
    claim(ledger)
    ledger.done("job1", 1.0)
    ledger.done("job1", 1.0)
    assert ledger.states()["job0"] == ("done", 1.0, None)
    waiting = dict(ledger.db.execute("SELECT id, waiting FROM jobs"))
    assert waiting == dict.fromkeys(waiting, 0)


def test_a_failure_reaches_all_that_depend_on_it_and_says_why(ledger: Ledger) -> None:
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


def test_a_failure_after_the_job_was_done_elsewhere_changes_nothing(ledger: Ledger) -> None:
    """A worker that lost its lease fails while the one that took over has finished."""
    claim(ledger)
    ledger.done("job0", 1.0)
    ledger.fail("job0", "too late")
    assert states(ledger) == ["done", "queued", "queued", "queued", "queued"]
    assert ledger.failures() == []


def test_failed_jobs_are_tried_again_when_asked(ledger: Ledger) -> None:
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


def test_a_released_job_is_claimed_again_without_blame(ledger: Ledger) -> None:
    assert claim(ledger) == "job0"
    ledger.release("job0")
    assert claim(ledger) == "job0"
    ledger.done("job0", 1.0)
    ledger.release("job0")  # too late to matter
    assert states(ledger)[0] == "done"
    assert ledger.db.execute("SELECT SUM(deaths) FROM jobs").fetchone() == (0,)


def test_tallies_and_cells_and_conditions_come_back(path: Path) -> None:
    cells = [make_cell("x", method="kd", size=5.0), make_cell(None)]
    conditions = [make_condition(3, size=5.0), make_condition(1)]
    with Ledger(path) as ledger:
        assert ledger.meta("schema") is None
        ledger.create(META, chain(), conditions, cells)
    with Ledger(path) as again:
        assert again.cells() == cells
        assert again.conditions() == conditions
        assert again.meta("identity") == "i"
        assert again.meta("nothing") is None
        assert again.tally() == {
            "teacher": {"queued": 1},
            "outputs": {"queued": 1},
            "student": {"queued": 3},
        }


def test_a_plan_is_written_whole_or_not_at_all(path: Path) -> None:
    def jobs() -> Iterator[Job]:
        yield job(0)
        raise RuntimeError("planning broke")

    with Ledger(path) as ledger:
        with pytest.raises(RuntimeError, match="planning broke"):
            ledger.create(META, jobs(), [], [])
        assert ledger.meta("schema") is None
        assert ledger.db.execute("SELECT name FROM sqlite_master").fetchall() == []
        ledger.create(META, chain(), [], [])
        assert len(ledger.states()) == 5


def test_a_full_disk_is_not_hidden_by_what_follows(path: Path) -> None:
    """SQLite rolls back by itself when the disk is full; to do it again is another error."""
    with Ledger(path) as ledger:
        ledger.create(META, [], [], [])
        pages = ledger.db.execute("PRAGMA page_count").fetchone()[0]
        ledger.db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            ledger._transaction(
                lambda: ledger.db.execute("INSERT INTO meta VALUES ('big', ?)", ("x" * 100_000,))
            )


# -- workers that are gone -----------------------------------------------------------------------------------


def test_processes_are_known_to_live_or_not() -> None:
    assert is_alive(os.getpid())
    assert not is_alive(DEAD)


def test_a_killed_child_that_nobody_waited_for_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read()  # until it has ended
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.communicate()


def test_jobs_of_dead_workers_are_put_back_and_those_of_living_ones_stay(ledger: Ledger) -> None:
    claim(ledger), claim(ledger)
    held_by(ledger, "job0", pid=DEAD)
    assert ledger.reclaim() == 1
    assert states(ledger)[:3] == ["queued", "queued", "running"]
    assert claim(ledger) == "job0"
    assert ledger.reclaim() == 0


def test_a_lease_runs_out_without_a_beat(ledger: Ledger) -> None:
    """Nothing is known of a process on another host but when it was last heard of."""
    claim(ledger)
    held_by(ledger, "job0", pid=DEAD, host="elsewhere", age=LEASE_SECONDS - 20)
    assert ledger.reclaim() == 0
    held_by(ledger, "job0", pid=DEAD, host="elsewhere", age=21)
    ledger.beat("job0")
    assert ledger.reclaim() == 0
    held_by(ledger, "job0", pid=DEAD, host="elsewhere", age=LEASE_SECONDS + 1)
    assert ledger.reclaim() == 1
    assert claim(ledger) == "job0"


def test_a_worker_of_this_host_that_slept_keeps_its_job(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that was closed for an hour: its workers live, and beat again in a moment."""
    claim(ledger)
    later = time.time() + 3600
    monkeypatch.setattr(ledger_module.time, "time", lambda: later)
    assert ledger.reclaim(blame=True) == 0
    assert states(ledger)[0] == "running"


def test_a_process_that_got_the_pid_later_holds_nothing(ledger: Ledger) -> None:
    """As after a restart of the machine."""
    began = psutil.Process().create_time()
    claim(ledger)
    held_by(ledger, "job0", pid=os.getpid(), age=time.time() - began + 60)
    assert ledger.reclaim() == 1


def test_a_ledger_that_must_not_be_written_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(path) as ledger:
        ledger.create(META, chain(), [make_condition(0)], [])
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(ledger_module.os, "access", lambda *_: False)
    with Ledger(path) as reader:
        assert reader.tally() == {
            "teacher": {"queued": 1},
            "outputs": {"queued": 1},
            "student": {"queued": 3},
        }
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.claim()
        assert sorted(path.parent.iterdir()) == before, "no log was made"


def test_a_job_that_kills_its_workers_is_given_up(ledger: Ledger) -> None:
    for death in range(MOST_DEATHS):
        assert claim(ledger) == "job0"
        held_by(ledger, "job0", pid=DEAD)
        assert ledger.reclaim(blame=True) == 1
        assert states(ledger)[0] == ("failed" if death + 1 == MOST_DEATHS else "queued")
    assert "died 3 times" in ledger.failures()[0].error
    assert states(ledger) == ["failed", "failed", "queued", "failed", "failed"]
    ledger.retry_failed()  # and with a clean record when it is tried again
    claim(ledger)
    held_by(ledger, "job0", pid=DEAD)
    ledger.reclaim(blame=True)
    assert states(ledger)[0] == "queued"


def test_a_stopped_study_blames_no_job(ledger: Ledger) -> None:
    for _ in range(2 * MOST_DEATHS):
        claim(ledger)
        held_by(ledger, "job0", pid=DEAD)
        assert ledger.reclaim() == 1
    assert states(ledger)[0] == "queued"


# -- any order of events -------------------------------------------------------------------------------------


class LedgerStory(RuleBasedStateMachine):
    """Anything that workers can do to a ledger, beside a model of it in plain Python."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self.state: dict[str, str] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.deaths: dict[str, int] = {}
        self.dead: set[str] = set()  # running jobs whose worker is gone
        self.portion = telling.PORTION

    @initialize(data=st.data(), count=st.integers(1, 7), portion=st.sampled_from([1, 2, 1000]))
    def plan(self, data: st.DataObject, count: int, portion: int) -> None:
        telling.PORTION = portion
        jobs = []
        for number in range(count):
            earlier = st.lists(st.sampled_from(range(number)), unique=True) if number else st.just([])
            jobs.append(job(number, *data.draw(earlier)))
        self.ledger.create(META, jobs, [], [])
        self.state = {each.id: "queued" for each in jobs}
        self.needs = {each.id: each.needs for each in jobs}
        self.deaths = dict.fromkeys(self.state, 0)

    def any_of(self, data: st.DataObject, *wanted: str) -> str:
        return data.draw(st.sampled_from([name for name, state in self.state.items() if state in wanted]))

    def there_is(self, *wanted: str) -> bool:
        return any(state in wanted for state in self.state.values())

    def fall(self, name: str) -> None:
        self.state[name] = "failed"
        for dependent, needs in self.needs.items():
            if name in needs and self.state[dependent] == "queued":
                self.fall(dependent)

    @rule()
    def claim(self) -> None:
        ready = [
            name
            for name, state in self.state.items()
            if state == "queued" and all(self.state[need] == "done" for need in self.needs[name])
        ]
        expected = ready[0] if ready else None
        assert claim(self.ledger) == expected
        if expected:
            self.state[expected] = "running"

    @precondition(lambda self: self.there_is("running", "done", "failed"))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running", "done", "failed")
        self.ledger.done(name, 1.0)
        if self.state[name] == "running":
            self.state[name] = "done"
            self.dead.discard(name)

    @precondition(lambda self: self.there_is("running", "done", "failed"))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running", "done", "failed")
        self.ledger.fail(name, "why")
        if self.state[name] == "running":
            self.fall(name)
            self.dead.discard(name)

    @precondition(lambda self: self.there_is("running"))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running")
        self.ledger.release(name)
        self.state[name] = "queued"
        self.dead.discard(name)

    @precondition(lambda self: self.there_is("running"))
    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running")
        held_by(self.ledger, name, pid=DEAD)
        self.dead.add(name)

    @rule(blame=st.booleans())
    def reclaim(self, blame: bool) -> None:
        assert self.ledger.reclaim(blame=blame) == len(self.dead)
        for name in self.dead:
            self.deaths[name] += blame
            if blame and self.deaths[name] >= MOST_DEATHS:
                self.fall(name)
            else:
                self.state[name] = "queued"
        self.dead.clear()

    @rule()
    def retry_failed(self) -> None:
        failed = [name for name, state in self.state.items() if state == "failed"]
        assert self.ledger.retry_failed() == len(failed)
        for name in failed:
            self.state[name], self.deaths[name] = "queued", 0

    @invariant()
    def ledger_and_model_agree(self) -> None:
        if not self.state:
            return
        found = self.ledger.states()
        assert {name: state for name, (state, _, _) in found.items()} == self.state
        assert self.ledger.open_jobs() == sum(s in ("queued", "running") for s in self.state.values())
        assert [failure.id for failure in self.ledger.failures()] == [
            name for name, state in self.state.items() if state == "failed"
        ]
        assert all((error is not None) == (state == "failed") for state, _, error in found.values())
        counted: dict[str, dict[str, int]] = {}
        for kind, state, jobs in self.ledger.db.execute(
            "SELECT kind, state, COUNT(*) FROM jobs GROUP BY kind, state"
        ):
            counted.setdefault(kind, {})[state] = jobs
        assert self.ledger.tally() == counted
        settled = "SELECT TOTAL(cost) FILTER (WHERE state IN ('done', 'failed')), TOTAL(cost) FROM jobs"
        assert self.ledger.progress() == self.ledger.db.execute(settled).fetchone()

    def teardown(self) -> None:
        telling.PORTION = self.portion
        self.ledger.__exit__()
        self.folder.cleanup()


TestLedgerStory = LedgerStory.TestCase
TestLedgerStory.settings = settings(max_examples=25, stateful_step_count=30)


# -- at once -------------------------------------------------------------------------------------------------

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


def all_at_once(start: Start, body: Callable[..., None], folder: Path, count: int) -> list[str]:
    """Run ``body(number, gate, log)`` many times at once; what they wrote into their logs, in turn."""
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
def test_of_many_planners_one_writes_the_plan(path: Path, start: Start) -> None:
    def create(number: int, gate: Any, log: Path) -> None:
        gate.wait()
        with Ledger(path) as ledger:
            ledger.create(
                {**META, "by": str(number)},
                [job(n) for n in range(20)],
                [make_condition(0)],
                [make_cell("a"), make_cell("b")],
            )
            log.write_text(ledger.meta("by") or "")

    told = all_at_once(start, create, path.with_name("logs"), 6)
    assert len(set(told)) == 1  # everybody sees the same plan
    assert told[0] in [str(number) for number in range(6)]
    with Ledger(path) as ledger:
        assert len(ledger.states()) == 20
        assert (len(ledger.conditions()), len(ledger.cells())) == (1, 2)


@pytest.mark.parametrize("start", WAYS)
def test_many_workers_do_every_job_once_and_in_time(path: Path, start: Start) -> None:
    jobs = [
        job(number, *{n for n in (number // 3 - 1, number - 5) if 0 <= n < number}) for number in range(60)
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
                assert all(ledger.states()[need][0] == "done" for need in needs[name])
                mine.append(name)
                ledger.done(name, 1.0)
        log.write_text(" ".join(mine))

    told = all_at_once(start, work, path.with_name("logs"), 4)
    did = list(itertools.chain.from_iterable(log.split() for log in told))
    assert sorted(did) == sorted(each.id for each in jobs)
    with Ledger(path) as ledger:
        assert {state for state, _, _ in ledger.states().values()} == {"done"}


def test_claims_are_exclusive_when_all_reach_for_the_same_job(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.create(META, [job(n) for n in range(3)], [], [])

    def reach(number: int, gate: Any, log: Path) -> None:
        gate.wait()
        with Ledger(path) as mine:
            log.write_text(claim(mine) or "")

    told = all_at_once(in_threads, reach, path.with_name("logs"), 10)
    assert sorted(filter(None, told)) == ["job0", "job1", "job2"]


def test_the_lease_outlives_several_beats() -> None:
    assert ledger_module.HEARTBEAT_SECONDS * 3 < LEASE_SECONDS
