"""The contract of an executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from distillab.registry import Registry
from distillab.study.folder import StudyFolder

# Called now and then with the share of the work that is settled, in [0, 1].
Watch = Callable[[float], None]


class Executor(Protocol):
    """Runs the open jobs of a study.

    Raises:
        DiskFullError: there is no space left. Finished jobs are kept.
        KeyboardInterrupt: the person stopped it. Jobs in hand are put back.
    """

    def __call__(self, folder: StudyFolder, *, workers: int, device: str, watch: Watch) -> None: ...


executors: Registry[Executor] = Registry("executor")
