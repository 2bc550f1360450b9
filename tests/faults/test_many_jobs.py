"""Many jobs, workers that die among them, several drivers at once, and processes that must not grow.

``DISTILLAB_JOBS`` is the number of queued jobs, 300 by default (``make soak``: 5,000), ``DISTILLAB_RUNS``
that of tiny runs in one process, 24 by default (200).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.running.run import run_jobs
from support.kills import TIMEOUT, running
from support.ledgers import META, numbered
from support.studies import CPU, Undisturbed, numbers, rows_of, spec, states_of, write_study

JOBS = int(os.environ.get("DISTILLAB_JOBS", "300"))
RUNS = int(os.environ.get("DISTILLAB_RUNS", "24"))
WORKERS, DRIVERS = 4, 5
MOST_GROWN = 30 * 2**20  # bytes of a process between its first runs and its last
MOST_HANDLES = 5  # more of them at once: files that are read are open for a moment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def take_jobs(path: Path, log: Path) -> None:
    """Claim and finish jobs until none is open, and enter each in a log before it is done."""
    with Ledger(path) as ledger, log.open("a") as file:
        while ledger.open_jobs():
            ledger.reclaim()
            for job in ledger.claim():
                file.write(f"{job.id}\n")
                file.flush()
                time.sleep(0.005)
                ledger.done(job.id, 0.0)


def test_many_jobs_are_all_done_while_workers_die(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.create(META, [numbered(n, *([n // 7] if n % 7 else [])) for n in range(JOBS)], [], [])
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(0)
    logs = [tmp_path / f"{number}.log" for number in range(WORKERS)]
    crew = [context.Process(target=take_jobs, args=(path, log)) for log in logs]
    for each in crew:
        each.start()
    killed = 0
    while any(each.is_alive() for each in crew):
        time.sleep(rng.uniform(0.02, 0.1))
        place = int(rng.integers(WORKERS))
        if killed < JOBS // 50 and crew[place].is_alive() and crew[place].pid:
            os.kill(crew[place].pid, signal.SIGKILL)
            killed += 1
            crew[place].join()
            crew[place] = context.Process(target=take_jobs, args=(path, logs[place]))
            crew[place].start()
    with Ledger(path) as ledger:
        assert {status.state for status in ledger.states().values()} == {"done"}
    times = Counter(name for log in logs for name in log.read_text().split())
    assert set(times) == {f"job{n}" for n in range(JOBS)}
    assert sum(times.values()) - JOBS <= killed  # a job is run again only where its worker died
    assert killed


def test_several_drivers_share_one_folder(tmp_path: Path, undisturbed: Undisturbed) -> None:
    study, out = write_study(tmp_path / "study.yaml"), tmp_path / "dir"
    drivers = [running(study, out, "inline", 1) for _ in range(DRIVERS)]
    processes = [each.__enter__() for each in drivers]
    for process, driver in zip(processes, drivers, strict=True):
        printed, _ = process.communicate(timeout=TIMEOUT)
        driver.__exit__(None, None, None)
        assert process.returncode == 0, printed
        assert "Traceback" not in printed, printed
    assert numbers(rows_of(StudyFolder.open(out))) == numbers(undisturbed.rows)


def test_tiny_runs_leave_no_memory_handles_or_processes(tmp_path: Path) -> None:
    seeds = RUNS // 4
    folder = StudyFolder.begin(tmp_path / "dir", spec(tmp_path, seeds=seeds, teacher={"replicates": 1}), CPU)
    process = psutil.Process()
    seen: list[tuple[int, int, int]] = []

    def look(share: float) -> None:
        seen.append((process.memory_info().rss, process.num_fds(), len(process.children(recursive=True))))

    run_jobs(folder, executor="inline", workers=1, device="cpu", on_progress=look)
    assert set(states_of(folder).values()) == {"done"}
    memory, handles, children = (list(values) for values in zip(*seen, strict=True))
    early = max(len(seen) // 4, 1)
    assert max(memory[early:]) - max(memory[:early]) < MOST_GROWN
    assert max(handles[early:]) - max(handles[:early]) < MOST_HANDLES
    assert max(children) == min(children)
