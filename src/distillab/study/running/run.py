"""Running a study: from its folder to finished jobs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from distillab.printable import counted
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobFailure, JobState
from distillab.study.planning.probes import probe_runs
from distillab.study.run_count import RunCount
from distillab.study.running.executors import OnProgress, executors
from distillab.study.tuning_record import diverged_trials
from distillab.training.loop.snapshots import snapshot_seconds


@dataclass(frozen=True)
class Outcome:
    """How many student runs of a study ended in which way, and what failed.

    A trial of tuning that diverged is a result, and counts as done.

    Attributes:
        done: Runs that are done, without probes.
        failed: Runs that failed.
        excluded: Cells excluded by a failed manipulation check.
        open: Runs that are queued or running.
        failures: All failed jobs, those of teachers included.
        held: Runs that wait for an interim analysis.
        spared: Runs that sequential stopping made unnecessary.
        probes: Students over twice the steps that are done and no runs of the design themselves.

    Example:
        >>> ended = Outcome(done=8, failed=0, excluded=0, open=2, failures=(), probes=4)
        >>> ended.complete, ended.done_text
        (False, '8 runs and 4 probes done')
    """

    done: int
    failed: int
    excluded: int
    open: int
    failures: tuple[JobFailure, ...]
    held: int = 0
    spared: int = 0
    probes: int = 0

    @property
    def done_text(self) -> str:
        """What is done, in words."""
        probes = f" and {counted(self.probes, 'probe')}" if self.probes else ""
        return f"{self.done} runs{probes} done"

    @property
    def complete(self) -> bool:
        """True if no job failed and no run is open."""
        return not self.failures and not self.open

    @property
    def runs(self) -> RunCount:
        """The number of student runs by state."""
        return RunCount(self.done + self.probes, self.failed, self.open, self.held)


def run_jobs(
    folder: StudyFolder, *, executor: str, workers: int, device: str, on_progress: OnProgress
) -> None:
    """Run every open job of a study.

    Args:
        folder: The study.
        executor: Name of a registered executor.
        workers: Number of worker processes.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_progress: Called with the share of the work that is finished.

    Raises:
        DiskFullError: There is no space left.
        RequestError: The seconds between snapshots are no number.

    Example:
        A study whose jobs are all finished starts no process:

        >>> import tempfile, pathlib
        >>> folder = StudyFolder(pathlib.Path(tempfile.mkdtemp()))
        >>> _ = folder.study_file.write_text(
        ...     "{study: demo, data: {source: digits}, teacher: {model: resnet8}, "
        ...     "students: [resnet8], methods: [ce, kd]}"
        ... )
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> run_jobs(folder, executor="processes", workers=2, device="cpu", on_progress=print)
    """
    snapshot_seconds()  # refused here, before workers meet it
    folder.store.sweep()
    try:
        executors[executor](folder, workers=workers, device=device, on_progress=on_progress)
    finally:
        folder.store.sweep()
    with folder.ledger() as ledger:
        if not ledger.open_jobs():  # of cohorts that were divided, or failed
            shutil.rmtree(folder.snapshots, ignore_errors=True)


def outcome(folder: StudyFolder) -> Outcome:
    """Return how many runs of a study have ended, and in which way.

    Example:
        >>> import tempfile, pathlib
        >>> folder = StudyFolder(pathlib.Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> outcome(folder).complete
        True
    """
    with folder.ledger() as ledger:
        tally = ledger.tally().get("student", {})
        cells = ledger.cells()
        excluded = sum(cell.excluded is not None for cell in cells)
        diverged, failures = diverged_trials(ledger), ledger.failures()
        probes = len(ledger.in_states(JobState.DONE).intersection(probe_runs(cells)))
        return Outcome(
            done=tally.get(JobState.DONE, 0) - probes + len(diverged),
            failed=tally.get(JobState.FAILED, 0) - len(diverged),
            excluded=excluded,
            open=sum(count for state, count in tally.items() if state.is_open),
            failures=tuple(failure for failure in failures if failure.id not in diverged),
            held=tally.get(JobState.HELD, 0),
            spared=tally.get(JobState.SPARED, 0),
            probes=probes,
        )
