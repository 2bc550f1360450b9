"""A study that is killed while it tunes, or before the runs under its choice, reaches the same numbers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import distillab
from distillab.cli import execute
from distillab.evidence.schema import read_rows
from support.studies import numbers
from support.tuning import tuned_study

SOURCES = Path(distillab.__file__).parents[1]
TIMEOUT = 300.0  # seconds, so that a hang ends
QUICK = {"seeds": 1, "recipe": {"steps": 6, "batch_size": 16, "lr": 0.00005, "views": "none"}}

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")


def done(ledger: Path) -> int:
    """Return the number of students done; 0 if there is no ledger yet."""
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=60) as db:
            query = "SELECT COUNT(*) FROM jobs WHERE state = 'done' AND kind = 'student'"
            return int(db.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_study_killed_between_the_stages_reaches_the_same_numbers(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(tuned_study(**QUICK)))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = ["run", str(file), "--executor", "inline", "--device", "cpu", "--out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "distillab.cli", *arguments, str(killed)],
        env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT
    trials = 8
    while done(killed / "ledger.sqlite") < trials and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert trials <= done(killed / "ledger.sqlite") < trials + 4
    assert execute([*arguments, str(killed)]) == 0
    assert execute([*arguments, str(whole)]) == 0
    for table in ("results", "tuning", "effects"):
        rows = [numbers(read_rows(folder / f"{table}.parquet")) for folder in (killed, whole)]
        assert rows[0] == rows[1]
