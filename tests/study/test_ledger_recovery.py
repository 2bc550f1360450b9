"""Jobs of dead workers: they are put back, and jobs that kill their workers fail in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import HEARTBEAT_SECONDS, LEASE_SECONDS, MAX_DEATHS
from distillab.study.liveness import is_alive
from support.ledgers import DEAD, META, chain, claim, hold_by, states


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as made:
        made.create(META, chain(), [], [])
        yield made


def test_only_a_running_process_is_alive() -> None:
    assert is_alive(os.getpid())
    assert not is_alive(DEAD)


def test_killed_child_is_not_alive_before_it_is_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read()  # until it has ended
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.communicate()


def test_only_jobs_of_dead_workers_are_put_back(ledger: Ledger) -> None:
    claim(ledger), claim(ledger)
    hold_by(ledger, "job0", pid=DEAD)
    assert ledger.reclaim() == 1
    assert states(ledger)[:3] == ["queued", "queued", "running"]
    assert claim(ledger) == "job0"
    assert ledger.reclaim() == 0


def test_lease_runs_out_without_heartbeats(ledger: Ledger) -> None:
    """All that is known of a process on another host is its last heartbeat."""
    claim(ledger)
    hold_by(ledger, "job0", pid=DEAD, host="elsewhere", age=LEASE_SECONDS - 20)
    assert ledger.reclaim() == 0
    hold_by(ledger, "job0", pid=DEAD, host="elsewhere", age=21)
    ledger.heartbeat("job0")
    assert ledger.reclaim() == 0
    hold_by(ledger, "job0", pid=DEAD, host="elsewhere", age=LEASE_SECONDS + 1)
    assert ledger.reclaim() == 1
    assert claim(ledger) == "job0"


def test_lease_is_longer_than_several_heartbeats() -> None:
    assert HEARTBEAT_SECONDS * 3 < LEASE_SECONDS


def test_living_worker_keeps_its_job_after_a_sleep(ledger: Ledger, path: Path) -> None:
    """A laptop was closed for an hour: its workers live and renew their leases in a moment."""
    claim(ledger)
    with Ledger(path, clock=lambda: time.time() + 3600) as later:
        assert later.reclaim(count_death=True) == 0
        assert states(later)[0] == "running"


def test_process_that_got_the_pid_later_keeps_no_job(ledger: Ledger) -> None:
    """As after a restart of the machine."""
    started = psutil.Process().create_time()
    claim(ledger)
    hold_by(ledger, "job0", pid=os.getpid(), age=time.time() - started + 60)
    assert ledger.reclaim() == 1


def test_job_that_kills_its_workers_fails(ledger: Ledger) -> None:
    for death in range(MAX_DEATHS):
        assert claim(ledger) == "job0"
        hold_by(ledger, "job0", pid=DEAD)
        assert ledger.reclaim(count_death=True) == 1
        assert states(ledger)[0] == ("failed" if death + 1 == MAX_DEATHS else "queued")
    assert "died 3 times" in ledger.failures()[0].error
    assert states(ledger) == ["failed", "failed", "queued", "failed", "failed"]


def test_retry_resets_the_deaths(ledger: Ledger) -> None:
    claim(ledger)
    ledger.db.execute("UPDATE jobs SET deaths = ? WHERE id = 'job0'", (MAX_DEATHS - 1,))
    hold_by(ledger, "job0", pid=DEAD)
    ledger.reclaim(count_death=True)
    ledger.retry_failed()
    claim(ledger)
    hold_by(ledger, "job0", pid=DEAD)
    ledger.reclaim(count_death=True)
    assert states(ledger)[0] == "queued"


def test_stopped_study_counts_no_deaths(ledger: Ledger) -> None:
    for _ in range(2 * MAX_DEATHS):
        claim(ledger)
        hold_by(ledger, "job0", pid=DEAD)
        assert ledger.reclaim() == 1
    assert states(ledger)[0] == "queued"
