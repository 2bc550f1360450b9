"""The status of a study. Light to import, so that a command that only looks does not wait for torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.study.job import Kind
from distillab.study.ledger import JobFailure, JobState, Ledger
from distillab.study.ledger.failures import FailureReason, group_failures
from distillab.study.ledger.reader import FinishedJob, WorkOfKind
from distillab.study.run_count import RunCount
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.study.tuning_record import TuningProgress, tuning_progress

STUDY_FILE = "study.yaml"
LEDGER_FILE = "ledger.sqlite"


@dataclass(frozen=True)
class StudyStatus:
    """How far a study has come.

    Attributes:
        study: Its name.
        jobs: Number of jobs by kind and state.
        share_done: Share of the estimated work that is finished.
        seconds: Training time in seconds by kind of job, summed over workers.
        failures: The failed jobs.
        workers: Number of worker processes that are running jobs.
        training_seconds_left: Estimate of the training time that is left, from the finished jobs; None before
            the first.
        last_finished: The job that finished last.
        pace: Training time that the running workers finish per second of wall time; None if not yet known.
        tuning: How far tuning has come; None for a study without tuning.

    Example:
        >>> StudyStatus("demo", {"student": {JobState.DONE: 4}}, 1.0, {"student": 9.5}, ()).as_dict()["jobs"]
        {'student': {<JobState.DONE: 'done'>: 4}}
    """

    study: str
    jobs: Mapping[Kind, Mapping[JobState, int]]
    share_done: float
    seconds: Mapping[Kind, float]
    failures: tuple[JobFailure, ...]
    workers: int = 0
    training_seconds_left: float | None = None
    last_finished: FinishedJob | None = None
    pace: float | None = None
    tuning: TuningProgress | None = None

    def count(self, state: JobState) -> int:
        """Return the number of jobs in a state."""
        return sum(counts.get(state, 0) for counts in self.jobs.values())

    @property
    def finished_runs(self) -> int:
        """The number of students that ended, well or not."""
        return sum(count for state, count in self.jobs.get("student", {}).items() if state.is_finished)

    @property
    def wall_seconds_left(self) -> float | None:
        """Estimate of the wall time that is left; None if it is not known, or no worker is running."""
        if self.training_seconds_left is None or not self.workers:
            return None
        return self.training_seconds_left / (self.pace or self.workers)

    @property
    def reasons(self) -> tuple[FailureReason, ...]:
        """The failures by their reason, the most frequent first."""
        return group_failures(self.failures)

    @property
    def runs(self) -> RunCount:
        """The number of student runs by state."""
        return RunCount.of(self.jobs.get("student", {}))

    def as_dict(self) -> JsonObject:
        """Return the JSON form, which ``distillab status --json`` prints. Keys are added, never renamed."""
        return {
            "study": self.study,
            "jobs": {kind: dict(counts) for kind, counts in self.jobs.items()},
            "share_done": self.share_done,
            "so_far": None if self.runs.finished else self.runs.text,
            "seconds": dict(self.seconds),
            "failures": [{"id": each.id, "kind": each.kind, "error": each.error} for each in self.failures],
            "failure_reasons": [each.as_dict() for each in self.reasons],
            "workers": self.workers,
            "training_seconds_left": self.training_seconds_left,
            "wall_seconds_left": self.wall_seconds_left,
            **({"tuning": self.tuning.as_dict()} if self.tuning else {}),
            "last_finished": None if self.last_finished is None else self.last_finished.as_dict(),
        }


def require_study(path: Path) -> None:
    """Raise RequestError unless ``path`` is the folder of a study that was started.

    Example:
        >>> require_study(Path("nowhere"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here (no study.yaml and ledger.sqlite) ...
    """
    if not (path / STUDY_FILE).is_file() or not (path / LEDGER_FILE).is_file():
        raise RequestError(
            f"no study here (no {STUDY_FILE} and {LEDGER_FILE})",
            where=str(path),
            allowed="a folder made by `distillab run`",
        )


def study_status(path: Path, *, clock: Callable[[], float] = time.time) -> StudyStatus:
    """Return the status of the study in a folder.

    Args:
        path: The study's folder.
        clock: Returns seconds since the epoch.

    Raises:
        RequestError: There is no study.

    Example:
        >>> study_status(Path("nowhere"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here (no study.yaml and ledger.sqlite) ...
    """
    require_study(path)
    with Ledger(path / LEDGER_FILE, clock=clock) as ledger:
        return StudyStatus(
            study=_study_name(path / STUDY_FILE),
            jobs=ledger.tally(),
            share_done=ledger.progress().share,
            seconds={kind: total for kind, (_, total) in ledger.seconds().items()},
            failures=tuple(ledger.failures()),
            workers=ledger.workers(),
            training_seconds_left=training_seconds_left(ledger.work()),
            last_finished=ledger.last_finished(),
            pace=ledger.pace(),
            tuning=tuning_progress(ledger),
        )


def _study_name(path: Path) -> str:
    values = read_study_yaml(path)
    if not isinstance(values, Mapping) or not isinstance(values.get("study"), str):
        raise RequestError("this is no study", where=str(path), allowed="the file that `distillab run` wrote")
    return str(values["study"])


def training_seconds_left(work: Iterable[WorkOfKind]) -> float | None:
    """Return the training time that open jobs will take, at the pace of the finished jobs of their kind.

    The pace of a kind of which none is done is that of all. The result is None if nothing is done.

    Example:
        >>> training_seconds_left([WorkOfKind("student", done=30.0, left=10.0, seconds=60.0)])
        20.0
    """
    kinds = list(work)
    done, seconds = sum(kind.done for kind in kinds), sum(kind.seconds for kind in kinds)
    if not any(kind.left for kind in kinds):
        return 0.0
    if not done:
        return None
    return sum(kind.left * (kind.seconds / kind.done if kind.done else seconds / done) for kind in kinds)
