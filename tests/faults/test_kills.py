"""Processes that are killed at random moments cost no finished run and change no number.

The number of kills is ``DISTILLAB_KILLS``, 2 by default; ``make soak`` has 200.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from support.kills import KilledStudy, running
from support.studies import Undisturbed, numbers, states_of, write_study

KILLS = int(os.environ.get("DISTILLAB_KILLS", "2"))

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")


def test_study_survives_kills_at_random_moments(tmp_path: Path, undisturbed: Undisturbed) -> None:
    study = KilledStudy(tmp_path, numbers(undisturbed.rows), seed=KILLS)
    kills = 0
    while kills < KILLS:
        study.kill_once()
        kills = sum(count for what, count in study.counts.items() if what.startswith("kills"))
    study.finish()
    print(dict(study.counts))  # noqa: T201 - the figures of the long form


@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("inline", signal.SIGTERM),
        ("processes", signal.SIGTERM),
        ("processes", signal.SIGHUP),
        ("processes", signal.SIGINT),
    ],
)
def test_a_signal_ends_a_study_in_one_line(tmp_path: Path, executor: str, number: signal.Signals) -> None:
    study = write_study(tmp_path / "study.yaml", recipe={"steps": 100_000}, seeds=1)
    out = tmp_path / "dir"
    with running(study, out, executor, 2) as process:
        while process.poll() is None and not is_running(out):
            time.sleep(0.02)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1, printed
    assert "Traceback" not in printed, printed
    by = "" if number == signal.SIGINT else f" by {number.name}"
    last = f"distillab: stopped{by}; what was finished is kept, and the same command resumes it"
    assert printed.splitlines()[-1] == last
    assert "running" not in states_of(StudyFolder.open(out)).values()


def is_running(out: Path) -> bool:
    """Return whether a job of a study is running."""
    if not (out / "ledger.sqlite").exists():
        return False
    try:
        return "running" in states_of(StudyFolder.open(out)).values()
    except RequestError:  # the plan is being written
        return False
