"""Runs as folders for TensorBoard: one per run below ``DIR/tensorboard``."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from distillab.extras import import_extra
from distillab.study.folder import StudyFolder
from distillab.track.runs import TrackedRun
from distillab.track.tracking import Tracked

FOLDER = "tensorboard"
FAILED = "failed.txt"


def track_in_tensorboard(folder: StudyFolder, runs: Iterable[TrackedRun], files: Iterable[Path]) -> Tracked:
    """Add the runs that ``DIR/tensorboard`` lacks. A run is complete, or not there.

    Args:
        folder: The study.
        runs: Its runs.
        files: Its files, copied anew each time.
    """
    root = folder.path / FOLDER
    root.mkdir(exist_ok=True)
    added = total = 0
    for run in runs:
        place = root / f"{run.kind}-{run.id}"
        total += 1
        if place.exists() and not (place / FAILED).exists():
            continue
        added += not place.exists()
        draft = root / f".{uuid.uuid4().hex}"
        try:
            _write(run, draft)
            shutil.rmtree(place, ignore_errors=True)
            draft.replace(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    for file in files:
        shutil.copyfile(file, root / file.name)
    return Tracked("tensorboard", str(root), added, total)


def _write(run: TrackedRun, draft: Path) -> None:
    import_extra("tensorboard", "track", "tracking in tensorboard", where="--track")
    from torch.utils.tensorboard import SummaryWriter

    draft.mkdir()
    with SummaryWriter(str(draft)) as writer:
        lines = [f"| {key} | {value} |" for key, value in run.params.items()]
        writer.add_text("params", "\n".join(["| key | value |", "|---|---|", *lines]))
        for point in run.curve:
            writer.add_scalar(f"curve/{point.name}", point.value, point.step)
        last = max((point.step for point in run.curve), default=0)
        for name, value in run.metrics.items():
            writer.add_scalar(f"metric/{name}", value, last)
        writer.add_hparams(
            dict(run.params), {f"metric/{name}": value for name, value in run.metrics.items()}, run_name="."
        )
    for file in run.files:
        shutil.copyfile(file, draft / file.name)
    if run.failed:
        (draft / FAILED).write_text(run.failed, encoding="utf-8")
