"""A worker renews its leases, counts deaths against jobs, and formats errors for the ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import MAX_DEATHS
from distillab.study.running.worker import Heartbeat, format_error, work
from support.jobs import make_job
from support.ledgers import DEAD, META, claim, hold_by, states
from support.studies import write_study

PATIENCE_SECONDS = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite"
    with Ledger(made) as ledger:
        ledger.create(META, [make_job("job")], [], [])
        claim(ledger)
    return made


def heartbeats(ledger: Ledger, count: int) -> int:
    """Wait until so many different heartbeats were seen; return how many were."""
    seen: set[float] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(seen) < count and time.monotonic() < deadline:
        seen |= {beat for (beat,) in ledger.db.execute("SELECT heartbeat FROM jobs")}
    return len(seen)


def test_long_job_keeps_its_lease(path: Path) -> None:
    with Ledger(path) as ledger, Heartbeat(path, ["job"], every=0.001):
        assert heartbeats(ledger, 4) == 4


def test_refused_heartbeats_are_made_up_for(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.db.execute("ALTER TABLE jobs RENAME TO away")  # every heartbeat is an OperationalError
        with Heartbeat(path, ["job"], every=0.001):
            time.sleep(0.05)
            ledger.db.execute("ALTER TABLE away RENAME TO jobs")
            assert heartbeats(ledger, 3) == 3


def test_idle_worker_counts_the_death_of_another(tmp_path: Path) -> None:
    """An idle worker may find a dead one before their parent does; the death must count all the same."""
    folder = StudyFolder(tmp_path)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.create(META, [make_job("job")], [], [])
        claim(ledger)
        hold_by(ledger, "job", pid=DEAD)
        ledger.db.execute("UPDATE jobs SET deaths = ?", (MAX_DEATHS - 1,))
        work(folder, "cpu", stop=lambda: False)
        assert states(ledger) == ["failed"]
        assert f"died {MAX_DEATHS} times" in ledger.failures()[0].error


def test_stopped_worker_claims_nothing(path: Path) -> None:
    folder = StudyFolder(path.parent)
    write_study(folder.study_file)
    with folder.ledger() as ledger:
        ledger.release("job")
        work(folder, "cpu", stop=lambda: True)
        assert states(ledger) == ["queued"]


def test_error_names_the_line_that_raised_it() -> None:
    try:
        raise ValueError("no such class")
    except ValueError as error:
        assert format_error(error).startswith("ValueError: no such class (test_worker.py:")
