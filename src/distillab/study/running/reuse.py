"""Reusing artifacts of other studies: a job with the same id gives the same result, wherever it ran."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from distillab.study.folder import StudyFolder
from distillab.study.store import Store, TrainedKind

REUSED_KINDS: tuple[TrainedKind, ...] = ("teacher", "student")


def reuse_artifacts(folder: StudyFolder, others: Sequence[StudyFolder]) -> int:
    """Give a study the trained networks that other studies have already and that it needs.

    The jobs of these networks are then finished as soon as a worker claims them. Stored teacher outputs are
    computed again, since studies keep different ones.

    Args:
        folder: The study, which has a ledger.
        others: The studies to take artifacts from; they stay as they are.

    Returns:
        How many artifacts were taken.

    Raises:
        DiskFullError: There is no space left.

    Example:
        >>> import pathlib, tempfile
        >>> folder = StudyFolder(pathlib.Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> reuse_artifacts(folder, [folder])
        0
    """
    if not others:
        return 0
    with folder.ledger() as ledger:
        unfinished = [job for job, status in ledger.states().items() if not status.state.is_finished]
    return sum(
        _take(folder.store, [other.store for other in others], kind, job)
        for job in unfinished
        for kind in REUSED_KINDS
    )


def _take(store: Store, others: Sequence[Store], kind: TrainedKind, job: str) -> bool:
    """Take an artifact from the first store that has it; return True if one has it and ``store`` lacks it."""
    if store.has(kind, job):
        return False
    for other in others:
        if other.is_sound(kind, job):
            with store.writing(kind, job) as draft:
                shutil.copytree(other.folder(kind, job), draft, copy_function=_link, dirs_exist_ok=True)
            return True
    return False


def _link(source: str, target: str) -> None:
    """Link a file, which never changes once it is in a store, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
