"""Runs of the small study as processes of their own, which are killed at random moments."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

import distillab
from distillab.study.folder import StudyFolder
from support.studies import artefacts, numbers, rows_of, write_study

SOURCES = Path(distillab.__file__).parents[1]
TIMEOUT = 600.0  # seconds, so that a hang ends
WAYS = (("inline", 1), ("processes", 1), ("processes", 2))


class KilledStudy:
    """The small study in one folder, which is begun anew when it is finished.

    Args:
        folder: Where study and results are.
        expected: The numbers that every finished study must have.
        seed: Of all random choices.
    """

    def __init__(self, folder: Path, expected: list[dict[str, object]], seed: int) -> None:
        self.out, self.study = folder / "dir", write_study(folder / "study.yaml")
        self.expected, self.rng = expected, np.random.default_rng(seed)
        self.kept: dict[str, tuple[int, ...]] = {}
        self.counts: Counter[str] = Counter()
        self.seconds = 4.0  # that an undisturbed run takes once its ledger exists

    def kill_once(self) -> None:
        """Start the study, kill it, or a part of it, at a random moment, and check what is left."""
        executor, workers = WAYS[self.rng.integers(len(WAYS))]
        with running(self.study, self.out, executor, workers) as process:
            began = self._wait_for_ledger(process)
            moment = self.rng.uniform(0, 1.2 * self.seconds)
            while process.poll() is None and time.monotonic() - began < moment:
                time.sleep(0.002)
            if process.poll() is None:
                self._kill(process)
            else:
                self.seconds = 0.7 * self.seconds + 0.3 * (time.monotonic() - began)
            printed, _ = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in printed, printed
        if process.returncode == 0:
            self.check_finished()
        else:
            assert process.returncode == -signal.SIGKILL, printed
            self._check_kept()

    def finish(self) -> None:
        """Run the study to its end."""
        with running(self.study, self.out, "processes", 2) as process:
            printed, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, printed
        self.check_finished()

    def check_finished(self) -> None:
        """Check the numbers of the finished study, and that nothing is left over; remove it."""
        folder = StudyFolder.open(self.out)
        assert numbers(rows_of(folder)) == self.expected
        assert self.kept.items() <= artefacts(folder).items()
        assert not any((folder.store.root / "drafts").glob("*/*"))
        self.counts["finished studies"] += 1
        self.kept = {}
        shutil.rmtree(self.out)

    def _wait_for_ledger(self, process: subprocess.Popen[str]) -> float:
        anywhere = self.rng.random() < 0.1  # now and then it is killed while it starts
        deadline = time.monotonic() + (self.rng.uniform(0, 3) if anywhere else TIMEOUT)
        before = self._written()
        while process.poll() is None and time.monotonic() < deadline and self._written() == before:
            time.sleep(0.002)
        return time.monotonic()

    def _written(self) -> int:
        ledger = self.out / "ledger.sqlite"
        files = [ledger, ledger.with_name("ledger.sqlite-wal")]
        return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)

    def _kill(self, process: subprocess.Popen[str]) -> None:
        whom = self.rng.choice(["everything", "the driver", "a worker"], p=[0.5, 0.25, 0.25])
        workers = psutil.Process(process.pid).children(recursive=True)
        if whom == "a worker" and workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                workers[self.rng.integers(len(workers))].kill()
        elif whom == "the driver":
            process.kill()
            psutil.wait_procs(workers, timeout=60)  # they notice, and end
        else:
            whom = "everything"
            os.killpg(process.pid, signal.SIGKILL)
        self.counts[f"kills of {whom}"] += 1

    def _check_kept(self) -> None:
        if not (self.out / "ledger.sqlite").exists():
            return
        finished = artefacts(StudyFolder.open(self.out)) if (self.out / "study.yaml").exists() else {}
        assert self.kept.items() <= finished.items()  # nothing was run again or changed
        self.kept = finished


@contextlib.contextmanager
def running(study: Path, out: Path, executor: str, workers: int) -> Iterator[subprocess.Popen[str]]:
    """Start `distillab run` in a process group of its own, and end what is left of it."""
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--executor", executor, "--workers", str(workers)],
        env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
