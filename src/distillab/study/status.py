"""The status of a study. Light to import, so that a command that only looks does not wait for torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.study.job import Kind
from distillab.study.ledger import JobFailure, JobState, Ledger
from distillab.study.run_count import RunCount

STUDY_FILE = "study.yaml"
LEDGER_FILE = "ledger.sqlite"


@dataclass(frozen=True)
class StudyStatus:
    """How far a study has come.

    Attributes:
        study: Its name.
        jobs: Number of jobs by kind and state.
        share_done: Share of the estimated work that is finished.
        seconds: Seconds of compute by kind of job.
        failures: The failed jobs.

    Example:
        >>> StudyStatus("demo", {"student": {JobState.DONE: 4}}, 1.0, {"student": 9.5}, ()).as_dict()["jobs"]
        {'student': {<JobState.DONE: 'done'>: 4}}
    """

    study: str
    jobs: Mapping[Kind, Mapping[JobState, int]]
    share_done: float
    seconds: Mapping[Kind, float]
    failures: tuple[JobFailure, ...]

    @property
    def runs(self) -> RunCount:
        """The number of student runs by state."""
        return RunCount.of(self.jobs.get("student", {}))

    def as_dict(self) -> JsonObject:
        """Return the JSON form, which ``distillab status --json`` prints."""
        return {
            "study": self.study,
            "jobs": {kind: dict(counts) for kind, counts in self.jobs.items()},
            "share_done": self.share_done,
            "so_far": None if self.runs.finished else self.runs.text,
            "seconds": dict(self.seconds),
            "failures": [{"id": each.id, "kind": each.kind, "error": each.error} for each in self.failures],
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


def study_status(path: Path) -> StudyStatus:
    """Return the status of the study in a folder.

    Args:
        path: The study's folder.

    Raises:
        RequestError: There is no study.

    Example:
        >>> study_status(Path("nowhere"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here (no study.yaml and ledger.sqlite) ...
    """
    require_study(path)
    with Ledger(path / LEDGER_FILE) as ledger:
        return StudyStatus(
            study=yaml.safe_load((path / STUDY_FILE).read_text(encoding="utf-8"))["study"],
            jobs=ledger.tally(),
            share_done=ledger.progress().share,
            seconds={kind: total for kind, (_, total) in ledger.seconds().items()},
            failures=tuple(ledger.failures()),
        )
