"""Running the jobs of a study until a deadline, after which the same call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from distillab.study.folder import StudyFolder
from distillab.study.running.executors import OnProgress
from distillab.study.running.run import run_jobs
from distillab.study.running.worker import work

SecondsClock = Callable[[], float]
"""Returns seconds since an arbitrary moment."""


class _OutOfTimeError(Exception):
    """The deadline has passed."""


def run_until(
    folder: StudyFolder,
    deadline: float,
    *,
    executor: str,
    workers: int,
    device: str,
    on_progress: OnProgress,
    clock: SecondsClock = time.monotonic,
) -> bool:
    """Run the open jobs of a study until all have ended or a deadline passes.

    Running jobs are then stopped and put back; what is finished is kept.

    Args:
        folder: The study.
        deadline: When to stop, on the clock.
        executor: Name of a registered executor.
        workers: Number of worker processes.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_progress: Called with the share of the work that is finished.
        clock: Returns seconds.

    Returns:
        Whether all jobs have ended.

    Raises:
        DiskFullError: There is no space left.

    Example:
        >>> import pathlib, tempfile
        >>> folder = StudyFolder(pathlib.Path(tempfile.mkdtemp()))
        >>> _ = folder.study_file.write_text(
        ...     "{study: demo, data: {source: digits}, teacher: {model: resnet8}, "
        ...     "students: [resnet8], methods: [ce, kd]}"
        ... )
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> run_until(folder, 1.0, executor="inline", workers=1, device="cpu", on_progress=print,
        ...           clock=lambda: 0.0)
        True
    """
    if executor == "inline":
        work(folder, device, stop=lambda: clock() >= deadline)
        with folder.ledger() as ledger:
            return not ledger.open_jobs()

    def on_share(share: float) -> None:
        on_progress(share)
        if clock() >= deadline:
            raise _OutOfTimeError

    try:
        run_jobs(folder, executor=executor, workers=workers, device=device, on_progress=on_share)
    except _OutOfTimeError:
        return False
    return True
