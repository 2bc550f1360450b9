"""The seconds of a training by phase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from distillab.training.numerics.device import compute_clock

Phase = Literal["views", "teacher", "forward", "backward", "optimiser", "evaluation", "waiting"]
PHASES: tuple[Phase, ...] = get_args(Phase)


class Phases:
    """Seconds by phase, on the :func:`~distillab.training.numerics.device.compute_clock` of a device.

    On a GPU, work is queued and done later: the seconds are those of queuing it, and the time that the CPU
    then waits for the GPU is counted as ``waiting``.

    Attributes:
        seconds: Seconds of each phase.

    Example:
        >>> phases = Phases(torch.device("cpu"))
        >>> with phases.timed("forward"):
        ...     _ = sum(range(1000))
        >>> phases.total == phases.seconds["forward"] > 0
        True
    """

    def __init__(self, device: torch.device) -> None:
        self._clock = compute_clock(device)
        self.seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = self._clock()
        try:
            yield
        finally:
            self.seconds[phase] += self._clock() - started

    def add(self, other: Phases, share: float = 1.0) -> None:
        """Add a share of other times to these."""
        for phase, seconds in other.seconds.items():
            self.seconds[phase] += share * seconds

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())
