"""Running one job again and comparing its numbers with the stored ones."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distillab.artefacts import LOGITS, RunRecord, StoredLogits, load_logits
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running.job_runner import JobRunner
from distillab.training.loop.results import DivergenceError
from distillab.training.numerics.device import pick_device


@dataclass(frozen=True)
class Comparison:
    """A run and its repetition.

    Attributes:
        run_id: The id of the run.
        accuracy_before: By test set, the stored score.
        accuracy_now: By test set, the score of the repetition.
        difference: The largest absolute difference of two test logits.
        metric: The primary metric, in plain words.

    Example:
        >>> Comparison("8f0c", {"test": 0.9}, {"test": 0.9}, difference=0.0).agrees
        True
    """

    run_id: str
    accuracy_before: Mapping[str, float]
    accuracy_now: Mapping[str, float]
    difference: float
    metric: str = "accuracy"

    @property
    def agrees(self) -> bool:
        """True if every test score is the same."""
        return self.accuracy_before == self.accuracy_now


def reproduce(folder: StudyFolder, run_id: str, device: str) -> Comparison:
    """Run a finished student or teacher job again, in a temporary folder.

    Args:
        folder: The study.
        run_id: The job's id.
        device: Where to compute.

    Raises:
        RequestError: There is no such run, it has not finished, or it is not a training run.

    Example:
        >>> import tempfile
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> reproduce(folder, "8f0c", "cpu")
        Traceback (most recent call last):
        distillab.errors.RequestError: ...: no run '8f0c' (allowed: a run_id of results.parquet)
    """
    job = folder.job(run_id)
    if job.kind == "outputs":
        raise RequestError(
            f"{run_id} is the stored outputs of a teacher, not a training run",
            where=str(folder.path),
            allowed="a run_id of results.parquet, or a teacher's",
        )
    if not folder.store.has(job.kind, job.id):
        raise RequestError(f"run {run_id} has not finished", where=str(folder.path))
    torch.set_num_threads(folder.spec.worker_threads)
    with tempfile.TemporaryDirectory(prefix="distillab-") as scratch:
        [now] = JobRunner(folder, pick_device(device)).make([job], Path(scratch))
        if isinstance(now, DivergenceError):
            raise now
        assert isinstance(now, RunRecord)
        logits = load_logits(Path(scratch) / job.id / LOGITS)
    before = load_logits(folder.store.folder(job.kind, job.id) / LOGITS)
    gap = max(_gap(logits[name], before[name]) for name in before)
    stored = folder.store.run_record(job.kind, job.id)
    task = folder.spec.task_config()
    return Comparison(run_id, stored.accuracy, now.accuracy, gap, task.metrics[task.primary].label)


def _gap(now: StoredLogits, before: StoredLogits) -> float:
    """Return the largest difference of stored outputs; what is missing on both sides does not differ."""
    missing = np.isnan(now) & np.isnan(before)
    difference = np.abs(now.astype(np.float64) - before.astype(np.float64))
    return float(np.where(missing, 0.0, difference).max())
