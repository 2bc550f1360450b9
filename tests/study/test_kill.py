"""Killed studies, and two runs on one folder, reach the numbers of an undisturbed study."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import distillab
from distillab.study.folder import StudyFolder
from support.studies import Undisturbed, artefacts, numbers, rows_of, write_study

SOURCES = Path(distillab.__file__).parents[1]
JOBS = 26
TIMEOUT = 600.0  # seconds, so that a hang ends

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")


class Runs:
    """Processes that run `distillab run`, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.out, self.study = folder / "dir", write_study(folder / "study.yaml")
        self.started: list[subprocess.Popen[str]] = []

    def start(self, executor: str, workers: int = 1) -> subprocess.Popen[str]:
        arguments = ["run", str(self.study), "--out", str(self.out), "--executor", executor]
        process = subprocess.Popen(
            [sys.executable, "-m", "distillab.cli", *arguments, "--workers", str(workers)],
            env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def done(self) -> int:
        """Return the number of jobs done; 0 if there is no ledger yet."""
        try:
            with sqlite3.connect(f"file:{self.out / 'ledger.sqlite'}?mode=ro", uri=True, timeout=60) as db:
                return int(db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'done'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    def kill_when_done(self, process: subprocess.Popen[str], count: int) -> None:
        """SIGKILL the whole group as soon as ``count`` jobs are done."""
        deadline = time.monotonic() + TIMEOUT
        while self.done() < count and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert count <= self.done() < JOBS

    def clean_up(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path)
    yield made
    made.clean_up()


def test_study_killed_several_times_reaches_the_same_numbers(runs: Runs, undisturbed: Undisturbed) -> None:
    kept: dict[str, tuple[int, ...]] = {}
    for executor, workers, count in (("processes", 1, 1), ("inline", 1, 9), ("inline", 1, 17)):
        runs.kill_when_done(runs.start(executor, workers), count)
        finished = artefacts(StudyFolder.open(runs.out))
        assert kept.items() <= finished.items()  # nothing was run again or changed
        kept = finished
    last = runs.start("processes", 2)
    printed, _ = last.communicate(timeout=TIMEOUT)
    assert last.returncode == 0, printed
    assert "12 runs done, 0 failed" in printed
    assert "Traceback" not in printed

    folder = StudyFolder.open(runs.out)
    assert kept.items() <= artefacts(folder).items()
    assert numbers(rows_of(folder)) == numbers(undisturbed.rows)
    assert not any((folder.store.root / "drafts").glob("*/*"))
    with folder.ledger() as ledger:
        assert {status.state for status in ledger.states().values()} == {"done"}


def test_two_simultaneous_runs_share_one_folder(runs: Runs, undisturbed: Undisturbed) -> None:
    crew = [runs.start("inline"), runs.start("inline")]
    for process in crew:
        printed, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, printed
        assert "12 runs done, 0 failed" in printed
        assert "Traceback" not in printed
    folder = StudyFolder.open(runs.out)
    assert numbers(rows_of(folder)) == numbers(undisturbed.rows)
    with folder.ledger() as ledger:
        jobs = ledger.states()
        assert {status.state for status in jobs.values()} == {"done"}
    made = {name.split("/")[1] for name in artefacts(folder)}
    plans = {path.name for path in (folder.store.root / "plan").iterdir()}
    assert made - jobs.keys() - plans == {folder.dataset.digest}
    assert made >= jobs.keys()
    assert not any((folder.store.root / "drafts").glob("*/*"))
