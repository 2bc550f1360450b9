"""What the report shows of a study's cost."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.report.contents.question import Number


@dataclass(frozen=True)
class Cost:
    """Seconds spent on jobs of one kind (``teacher``, ``teacher outputs``, ``student``, ``data``)."""

    kind: str
    jobs: int
    seconds: float


@dataclass(frozen=True)
class MethodCost:
    """Mean seconds of one run of a method, and how many times its plain twin's that is (1.0 is equal)."""

    method: str
    runs: int
    seconds_per_run: Number
    times_plain: Number = None


@dataclass(frozen=True)
class Work:
    """What teachers were asked, and where the seconds of training went.

    ``told``: views about which students were told something; ``computed``: images that went through a
    teacher; ``saved``: forwards that were not needed; ``stored_bytes``: what is kept of them; ``phases``:
    seconds by phase of training.
    """

    told: int
    computed: int
    saved: int
    stored_bytes: int
    phases: tuple[tuple[str, float], ...] = ()
