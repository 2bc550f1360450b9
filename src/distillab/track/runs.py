"""What is tracked of a run: its parameters, the points of its curves, its metrics, its files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from distillab.artefacts import RECORD, VAL, WEIGHTS, RunRecord
from distillab.canonical import JsonObject
from distillab.evidence.pairs import Row
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob, TeacherJob
from distillab.study.ledger import JobState
from distillab.study.store import TrainedKind

IDENTITY = ("run_id", "study", "dataset", "provenance", "teacher", "student", "method", "seed", "status")


@dataclass(frozen=True)
class TrackedPoint:
    """One value of a curve.

    Attributes:
        name: What it is of, such as ``val`` or ``loss.ce``.
        step: Training steps until then.
        value: The value.

    Example:
        >>> TrackedPoint("val", step=40, value=0.81).value
        0.81
    """

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers take it.

    Attributes:
        id: Its run id.
        kind: ``teacher`` or ``student``.
        name: A short name for lists.
        failed: The error of a run that failed; "" for one that is done.
        params: Its parameters.
        metrics: Its final metrics; those that are not finite are left out.
        curve: Its curves.
        files: Its record and its weights.

    Example:
        >>> TrackedRun("8f0c", "student", "kd resnet8 seed 0").failed
        ''
    """

    id: str
    kind: str
    name: str
    failed: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[TrackedPoint, ...] = ()
    files: tuple[Path, ...] = ()


def tracked_runs(folder: StudyFolder) -> Iterator[TrackedRun]:
    """Yield the trained networks of a study that are done or failed, in the order of the plan.

    Args:
        folder: The study, whose ``results.parquet`` was written.

    Example:
        >>> import tempfile
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> list(tracked_runs(folder))
        []
    """
    rows = (
        {row["run_id"]: row for row in read_rows(folder.results_file)} if folder.results_file.exists() else {}
    )
    with folder.ledger() as ledger:
        for name, status in ledger.states().items():
            if status.state not in (JobState.DONE, JobState.FAILED):
                continue
            job = ledger.job(name)
            if not isinstance(job, TeacherJob | StudentJob):
                continue
            failed = status.error or "failed" if status.state is JobState.FAILED else ""
            row = rows.get(name, {})
            if failed or not folder.store.has(_kind(job), name):
                yield TrackedRun(name, job.kind, _name(job, row), failed or "no artifact", _params(job, row))
                continue
            record, place = folder.store.run_record(_kind(job), name), folder.store.folder(job.kind, name)
            files = tuple(place / file for file in (RECORD, WEIGHTS) if (place / file).exists())
            params, metrics = _params(job, row), _metrics(record, row)
            yield TrackedRun(name, job.kind, _name(job, row), "", params, metrics, _curve(record), files)


def _kind(job: TeacherJob | StudentJob) -> TrainedKind:
    return next(kind for kind in get_args(TrainedKind) if kind == job.kind)


def _name(job: TeacherJob | StudentJob, row: Row) -> str:
    if not row:
        return f"{job.kind} {job.model} {job.id[:8]}"
    return f"{row['method']} {row['student']} seed {row['seed']}"


def _params(job: TeacherJob | StudentJob, row: Row) -> dict[str, str]:
    """Return what a run was made with: its place in the design, its seeds, its recipe, its method."""
    found: dict[str, object] = {"kind": job.kind, "model": job.model, "run_id": job.id}
    placed = {key: value for key, value in row.items() if key in IDENTITY or key.startswith("factor.")}
    found |= {key: value for key, value in placed.items() if value is not None}
    found |= {f"seed.{key}": value for key, value in job.seeds.as_dict().items()}
    found |= {f"recipe.{key}": value for key, value in job.recipe.items()}
    if isinstance(job, StudentJob):
        found |= _flat("method", job.method)
    return {key: str(value) for key, value in found.items()}


def _flat(name: str, value: object) -> JsonObject:
    """Return a nested mapping with dots in its keys."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {
        key: each for inner, held in value.items() for key, each in _flat(f"{name}.{inner}", held).items()
    }


def _metrics(record: RunRecord, row: Row) -> dict[str, float]:
    numbers = {f"{name}.score": score for name, score in record.accuracy.items()}
    numbers |= {"params": record.params, "macs": record.macs, "train_seconds": record.seconds}
    skipped = {"seed"} | {key for key in row if key.startswith("factor.")}
    numbers |= {key: value for key, value in row.items() if key not in skipped and _is_number(value)}
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(record: RunRecord) -> tuple[TrackedPoint, ...]:
    points = []
    for point in record.curve:
        values = {VAL: point.val_accuracy, **point.test}
        values |= {f"loss.{name}": value for name, value in point.losses.items()}
        points += [TrackedPoint(n, point.step, float(v)) for n, v in values.items() if math.isfinite(v)]
    return tuple(points)
