"""The states of a job."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. The values are stored in ledgers and in ``results.parquet``.

    Example:
        >>> JobState("failed").is_finished, JobState.RUNNING.is_open, JobState.HELD.is_open
        (True, True, False)
    """

    QUEUED = "queued"
    """Waits for a worker, or for jobs that it needs."""
    RUNNING = "running"
    """Claimed by a worker."""
    DONE = "done"
    """Its artifact is in the store."""
    FAILED = "failed"
    """It raised an error, killed its workers, or needs a failed job."""
    HELD = "held"
    """Waits for an interim analysis."""
    SPARED = "spared"
    """Not needed: an interim analysis decided every comparison that it serves."""

    @property
    def is_open(self) -> bool:
        """True if workers still have to do the job or are doing it."""
        return self in (JobState.QUEUED, JobState.RUNNING)

    @property
    def is_finished(self) -> bool:
        """True if the job ended, well or not."""
        return self in (JobState.DONE, JobState.FAILED)

    @property
    def is_withheld(self) -> bool:
        """True if sequential stopping keeps the job from workers."""
        return self in (JobState.HELD, JobState.SPARED)


OPEN_STATES = f"('{JobState.QUEUED}', '{JobState.RUNNING}')"
"""The open states as an SQL list."""
