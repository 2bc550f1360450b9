"""Failed jobs grouped by what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from distillab.canonical import JsonObject
from distillab.study.ledger.reader import JobFailure

NEEDED = ", which failed: "  # stands between a failed job and the error of the one that it needs


@dataclass(frozen=True)
class FailureReason:
    """Jobs that failed for the same reason.

    Attributes:
        error: What was raised.
        ids: The jobs that raised it.
        needing: How many further jobs failed because they need one of these.

    Example:
        >>> print(FailureReason("DivergenceError: the loss is not finite", ("8f0c", "9a1b"), needing=3))
        2 jobs failed: DivergenceError: the loss is not finite (8f0c, 9a1b); 3 jobs need them
    """

    error: str
    ids: tuple[str, ...]
    needing: int = 0

    def __str__(self) -> str:
        number = len(self.ids)
        listed = ", ".join(self.ids[:2]) + (", ..." if number > 2 else "")
        text = f"{number} {'job' if number == 1 else 'jobs'} failed: {self.error} ({listed})"
        if self.needing:
            needs = "job needs" if self.needing == 1 else "jobs need"
            text += f"; {self.needing} {needs} {'it' if number == 1 else 'them'}"
        return text

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {"error": self.error, "jobs": list(self.ids), "needing": self.needing}


def group_failures(failures: Iterable[JobFailure]) -> tuple[FailureReason, ...]:
    """Return failures by their reason, the most frequent first.

    A job that failed because it needs a failed job belongs to the reason of that one.

    Example:
        >>> [reason] = group_failures([
        ...     JobFailure("t", "teacher", "MemoryError: full"),
        ...     JobFailure("s", "student", "needs teacher t, which failed: MemoryError: full"),
        ... ])
        >>> reason.ids, reason.needing
        (('t',), 1)
    """
    ids: dict[str, list[str]] = {}
    needing: dict[str, int] = {}
    for failure in failures:
        *before, error = failure.error.split(NEEDED)
        raised = ids.setdefault(error, [])
        if before:
            needing[error] = needing.get(error, 0) + 1
        else:
            raised.append(failure.id)
    reasons = [FailureReason(error, tuple(raised), needing.get(error, 0)) for error, raised in ids.items()]
    return tuple(sorted(reasons, key=lambda reason: -len(reason.ids)))
