"""Cohorts: students that share a live teacher are claimed together, by one worker."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.study.job import Job
from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import MAX_DEATHS
from support.jobs import make_job

PARTIAL = tuple(f"USING INDEX {name}" for name in ("ready", "mates", "running", "failed"))
LOST_HOST = "another host"


def job(number: int, cohort: str = "", *needs: int) -> Job:
    return make_job(f"job{number}", *(f"job{n}" for n in needs), cost=1.0, cohort=cohort, seed=number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as made:
        yield made


def claimed(ledger: Ledger, most: int = 16) -> list[str]:
    return [each.id for each in ledger.claim(most)]


def die(ledger: Ledger) -> None:
    """Change the running jobs as if their worker had been killed."""
    ledger.db.execute("UPDATE jobs SET host = ?, heartbeat = 0 WHERE state = 'running'", (LOST_HOST,))


def test_cohort_is_claimed_in_planned_order_up_to_a_limit(ledger: Ledger) -> None:
    ledger.create({}, [job(0, "a"), job(1, "b"), job(2, "a"), job(3), job(4, "a"), job(5, "a")], [], [])
    assert claimed(ledger, 3) == ["job0", "job2", "job4"]
    assert claimed(ledger) == ["job1"]
    assert claimed(ledger) == ["job3"]
    assert claimed(ledger) == ["job5"]
    assert claimed(ledger) == []


def test_jobs_without_a_cohort_are_claimed_one_by_one(ledger: Ledger) -> None:
    ledger.create({}, [job(0), job(1)], [], [])
    assert [claimed(ledger), claimed(ledger), claimed(ledger)] == [["job0"], ["job1"], []]


def test_member_with_open_needs_is_claimed_later(ledger: Ledger) -> None:
    ledger.create({}, [job(0), job(1), job(2, "a", 0), job(3, "a", 0, 1)], [], [])
    assert claimed(ledger) == ["job0"]
    ledger.done("job0", 1.0)
    assert claimed(ledger) == ["job1"]
    assert claimed(ledger) == ["job2"]
    ledger.done("job1", 1.0)
    assert claimed(ledger) == ["job3"]


def test_claimed_member_names_its_cohort(ledger: Ledger) -> None:
    ledger.create({}, [job(0, "a"), job(1, "a")], [], [])
    taken = ledger.claim()
    assert [each.cohort for each in taken] == ["a", "a"]
    assert taken == [ledger.job("job0"), ledger.job("job1")]


def test_members_finish_one_by_one(ledger: Ledger) -> None:
    ledger.create({}, [job(0, "a"), job(1, "a"), job(2, "a")], [], [])
    ledger.claim()
    ledger.done("job0", 1.0)
    ledger.fail("job1", "diverged")
    ledger.release("job2")
    assert ledger.tally() == {"student": {"done": 1, "failed": 1, "queued": 1}}
    assert claimed(ledger) == ["job2"]


def test_after_a_death_members_run_alone_and_only_the_killer_fails(ledger: Ledger) -> None:
    ledger.create({}, [job(number, "a") for number in range(4)], [], [])
    assert len(claimed(ledger)) == 4
    die(ledger)
    assert ledger.reclaim(count_death=True) == 4
    while taken := claimed(ledger):
        assert len(taken) == 1
        if taken == ["job2"]:
            die(ledger)
            ledger.reclaim(count_death=True)
        else:
            ledger.done(taken[0], 1.0)
    assert ledger.tally() == {"student": {"done": 3, "failed": 1}}
    [failure] = ledger.failures()
    assert failure.id == "job2"
    assert f"died {MAX_DEATHS} times" in failure.error


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=24), st.integers(1, 5))
def test_every_job_is_claimed_once_for_any_cohorts(cohorts: list[str], most: int) -> None:
    with Ledger(Path(":memory:")) as ledger:
        ledger.create({}, [job(number, cohort) for number, cohort in enumerate(cohorts)], [], [])
        claims = list(iter(lambda: claimed(ledger, most), []))
    for taken in claims:
        numbers = [int(name.removeprefix("job")) for name in taken]
        assert numbers == sorted(numbers)
        assert len(taken) == 1 or len({cohorts[number] for number in numbers} - {""}) == 1
        assert len(taken) <= most
    assert sorted(itertools.chain.from_iterable(claims)) == sorted(f"job{n}" for n in range(len(cohorts)))
    leaders = [int(taken[0].removeprefix("job")) for taken in claims]
    assert leaders == sorted(leaders)  # the first ready job always comes first


def test_simultaneous_workers_share_no_member(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.create({}, [job(number, "a") for number in range(20)], [], [])
    gate, claims = threading.Event(), []

    def work() -> None:
        gate.wait()
        with Ledger(path) as mine:
            claims.append(claimed(mine, 4))

    crew = [threading.Thread(target=work) for _ in range(8)]
    for each in crew:
        each.start()
    gate.set()
    for each in crew:
        each.join()
    assert sorted(len(taken) for taken in claims) == [0, 0, 0, 4, 4, 4, 4, 4]
    assert len(set(itertools.chain.from_iterable(claims))) == 20


# -- many jobs -----------------------------------------------------------------------------------------------


def test_no_transaction_scans_all_jobs(ledger: Ledger) -> None:
    """By SQLite's query plans, no statement that runs between jobs scans the table of jobs."""
    ledger.create({}, [job(0), *(job(number, "a", 0) for number in range(1, 40))], [], [])
    traced: list[str] = []
    ledger.db.set_trace_callback(traced.append)
    first, *_ = claimed(ledger)
    ledger.heartbeat(first)
    ledger.done(first, 1.0)
    for name in claimed(ledger):
        ledger.fail(name, "why")
    ledger.reclaim(), ledger.tally(), ledger.open_jobs(), ledger.progress(), ledger.seconds()
    ledger.failures(), ledger.meta("schema")
    ledger.db.set_trace_callback(None)
    statements = [text for text in traced if text.startswith(("SELECT", "UPDATE", "WITH"))]
    assert len(statements) > 10
    for text in statements:
        steps = [row[3] for row in ledger.db.execute(f"EXPLAIN QUERY PLAN {text}")]
        scans = [step for step in steps if step.startswith("SCAN jobs") and not step.endswith(PARTIAL)]
        assert scans == [], text


def test_shared_parts_of_specs_are_stored_once(ledger: Ledger) -> None:
    jobs = [make_job(f"job{n}", seed=n) for n in range(50)]
    ledger.create({}, jobs, [], [])
    # The plain values, method, recipe, sets and condition that all share, and the seeds of each.
    assert ledger.db.execute("SELECT COUNT(*) FROM parts").fetchone() == (5 + 50,)
    for each in jobs:
        assert ledger.job(each.id) == each
