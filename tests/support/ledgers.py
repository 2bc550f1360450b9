"""Ledgers whose jobs train nothing, and ways to look at them."""

from __future__ import annotations

import subprocess
import sys

from distillab.study.job import Job, Kind
from distillab.study.ledger import Ledger
from support.jobs import make_job

META = {"dataset": "d", "identity": "i"}


def numbered(number: int, *needs: int, kind: Kind = "student", cohort: str = "") -> Job:
    """Return a job whose id, cost and seed follow from its number."""
    names = (f"job{need}" for need in needs)
    return make_job(f"job{number}", *names, kind=kind, cohort=cohort, cost=1.0 + number, seed=number)


def chain() -> list[Job]:
    """Return a teacher, its outputs, a plain student, and two students of the teacher."""
    return [
        numbered(0, kind="teacher"),
        numbered(1, 0, kind="outputs"),
        numbered(2),
        numbered(3, 1),
        numbered(4, 1, 0),
    ]


def claim(ledger: Ledger) -> str | None:
    """Claim jobs; return the id of the first, or None."""
    claimed = ledger.claim()
    return claimed[0].id if claimed else None


def states(ledger: Ledger) -> list[str]:
    """Return the state of every job, by id."""
    return [status.state for _, status in sorted(ledger.states().items())]


def states_by_id(ledger: Ledger) -> dict[str, str]:
    """Return the state of every job, by id, in planned order."""
    return {name: status.state for name, status in ledger.states().items()}


def hold_by(ledger: Ledger, name: str, *, pid: int, host: str | None = None, age: float = 0.0) -> None:
    """Change a running job as if another process had claimed it ``age`` seconds ago."""
    ledger.db.execute(
        "UPDATE jobs SET pid = ?, host = ?, heartbeat = heartbeat - ? WHERE id = ?",
        (pid, host or ledger.host, age, name),
    )


def ended_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


DEAD = ended_process()
