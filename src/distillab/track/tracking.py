"""Track a study: enter every run of its folder that a tracker does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from distillab.errors import RequestError, unknown_name
from distillab.extras import missing_extra
from distillab.study.folder import StudyFolder
from distillab.track.runs import TrackedRun, tracked_runs


@dataclass(frozen=True)
class Tracked:
    """What tracking did.

    Attributes:
        tracker: The name of the tracker.
        place: Where its runs are: an address of MLflow, or the folder for TensorBoard.
        added: How many runs were added now.
        total: How many runs of the study it has.

    Example:
        >>> print(Tracked("tensorboard", "runs/demo/tensorboard", added=2, total=8))
        8 runs in runs/demo/tensorboard (tensorboard), 2 of them new
    """

    tracker: str
    place: str
    added: int
    total: int

    def __str__(self) -> str:
        return f"{self.total} runs in {self.place} ({self.tracker}), {self.added} of them new"


TrackerFunction = Callable[[StudyFolder, Iterable[TrackedRun], Iterable[Path]], Tracked]
"""Adds the runs that a tracker lacks, with the files of the whole study."""


def _mlflow(folder: StudyFolder, runs: Iterable[TrackedRun], files: Iterable[Path]) -> Tracked:
    from distillab.track.mlflow_tracker import track_in_mlflow  # imported where it is used: it takes seconds

    return track_in_mlflow(folder, runs, files)


def _tensorboard(folder: StudyFolder, runs: Iterable[TrackedRun], files: Iterable[Path]) -> Tracked:
    from distillab.track.tensorboard_tracker import track_in_tensorboard

    return track_in_tensorboard(folder, runs, files)


TRACKERS: MappingProxyType[str, TrackerFunction] = MappingProxyType(
    {"mlflow": _mlflow, "tensorboard": _tensorboard}
)
"""The trackers by name."""
TRACKER_PACKAGES = MappingProxyType(
    {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "tensorboard": ("tensorboard",)}
)


def check_tracker(name: str, where: str = "--track") -> None:
    """Raise RequestError unless a tracker exists and its packages are installed. Imports nothing large.

    Args:
        name: The name of the tracker.
        where: The option that names it.

    Example:
        >>> check_tracker("wandb")
        Traceback (most recent call last):
        distillab.errors.RequestError: --track: unknown tracker 'wandb' (allowed: mlflow, tensorboard)
    """
    if name not in TRACKERS:
        raise unknown_name("tracker", name, TRACKERS, where=where)
    for package in TRACKER_PACKAGES[name]:
        if find_spec(package) is None:
            raise missing_extra(f"tracking in {name}", package, "track", where=where)


def track_study(folder: StudyFolder, name: str) -> Tracked:
    """Add the runs of a study that a tracker does not have: each once, however often this is called.

    Args:
        folder: The study, whose tables were written.
        name: The name of the tracker.

    Raises:
        RequestError: There is no such tracker, its packages are missing, or its store cannot be used.

    Example:
        >>> import tempfile
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> track_study(folder, "paper")
        Traceback (most recent call last):
        distillab.errors.RequestError: --track: unknown tracker 'paper' (allowed: mlflow, tensorboard)
    """
    check_tracker(name)
    files = (folder.study_file, folder.results_file, folder.effects_file, folder.report_file)
    try:
        return TRACKERS[name](folder, tracked_runs(folder), [each for each in files if each.exists()])
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"the store cannot be written ({reason})", where="--track") from error
