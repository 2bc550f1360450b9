"""Job: a unit of work of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["teacher", "outputs", "student"]


@dataclass(frozen=True, slots=True)
class Job:
    """A unit of work. ``spec`` is what its id is the hash of; ``condition`` tells how to make its image sets
    again; ``needs`` are ids of jobs to be done before; ``cost`` is an estimate in multiply-accumulates.

    ``cohort``, if not empty, names the students that ask one teacher live about one stream of batches: they
    can be trained in step, and the teacher is then asked once for all of them.
    """

    id: str
    kind: Kind
    spec: Mapping[str, Any]
    condition: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    cohort: str = ""
