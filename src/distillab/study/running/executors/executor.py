"""The contract of an executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from distillab.registry import Registry
from distillab.study.folder import StudyFolder

PROGRESS_SECONDS = 0.25  # between reports of progress

OnProgress = Callable[[float], None]
"""Called now and then with the share of the work that is finished, in [0, 1]."""


class Executor(Protocol):
    """Runs the open jobs of a study, and returns when none is left.

    Args:
        folder: The study.
        workers: Number of workers.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_progress: Called with the share of the work that is finished.

    Raises:
        DiskFullError: There is no space left. Finished jobs are kept.
        KeyboardInterrupt: The user stopped it. Running jobs are put back.

    Example:
        >>> from distillab.study.running import executors
        >>> list(executors)
        ['inline', 'processes', 'ray', 'slurm']
    """

    def __call__(
        self, folder: StudyFolder, *, workers: int, device: str, on_progress: OnProgress
    ) -> None: ...


executors: Registry[Executor] = Registry("executor")
