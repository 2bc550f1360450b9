"""What a report shows of the cost of a study."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.report.contents.gains import Number


@dataclass(frozen=True)
class Cost:
    """Seconds spent on jobs of one kind (``teacher``, ``teacher outputs``, ``student``, ``data``)."""

    kind: str
    jobs: int
    seconds: float


@dataclass(frozen=True)
class MethodCost:
    """Mean seconds of one run of a method, and their ratio to those of plain training (1.0 is equal)."""

    method: str
    runs: int
    seconds_per_run: Number
    times_plain: Number = None
