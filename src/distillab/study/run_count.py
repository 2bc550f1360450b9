"""How many student runs of a study have finished. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distillab.study.ledger import JobState


@dataclass(frozen=True)
class RunCount:
    """The number of student runs by state. Runs that sequential stopping spared are not counted.

    Attributes:
        done: Runs that are done.
        failed: Runs that failed.
        open: Runs that are queued or running.
        held: Runs that wait for an interim analysis, which may find that they are not needed.

    Example:
        >>> RunCount(done=25, failed=0, open=29).text
        '25 of 54 runs'
    """

    done: int
    failed: int = 0
    open: int = 0
    held: int = 0

    @classmethod
    def of(cls, tally: Mapping[JobState, int]) -> RunCount:
        """Return the count of a tally of student jobs by state."""
        return cls(
            done=tally.get(JobState.DONE, 0),
            failed=tally.get(JobState.FAILED, 0),
            open=sum(count for state, count in tally.items() if state.is_open),
            held=tally.get(JobState.HELD, 0),
        )

    @property
    def finished(self) -> bool:
        """True if no run is open or held."""
        return not self.open and not self.held

    @property
    def text(self) -> str:
        """The runs that are done, out of those that were planned: ``25 of 54 runs, 2 failed``."""
        most = "at most " if self.held else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done:,} of {most}{self.done + self.failed + self.open + self.held:,} runs{failed}"
