"""Running a study: from its folder to settled jobs."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Failure
from distillab.study.running.executors import Watch, executors


@dataclass(frozen=True)
class Outcome:
    """How a study stands: student runs done, failed, excluded by a failed manipulation check, and open.

    In a study that stops when it is decided, ``held`` runs wait for a look at the results, and ``spared``
    ones were not needed.
    """

    done: int
    failed: int
    excluded: int
    open: int
    failures: tuple[Failure, ...]
    held: int = 0
    spared: int = 0


def run_jobs(folder: StudyFolder, *, executor: str, workers: int, device: str, watch: Watch) -> None:
    """Run every open job of a study. Raises DiskFullError if there is no space left."""
    folder.store.sweep()
    try:
        executors[executor](folder, workers=workers, device=device, watch=watch)
    finally:
        folder.store.sweep()


def outcome(folder: StudyFolder) -> Outcome:
    """How the study stands now."""
    with folder.ledger() as ledger:
        tally = ledger.tally().get("student", {})
        excluded = sum(cell.excluded is not None for cell in ledger.cells())
        return Outcome(
            done=tally.get("done", 0),
            failed=tally.get("failed", 0),
            excluded=excluded,
            open=tally.get("queued", 0) + tally.get("running", 0),
            failures=tuple(ledger.failures()),
            held=tally.get("held", 0),
            spared=tally.get("spared", 0),
        )
