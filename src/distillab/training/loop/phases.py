"""Where the seconds of a training go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from distillab.training.numerics.device import clock

Phase = Literal["views", "teacher", "forward", "backward", "optimiser", "evaluation", "waiting"]
PHASES: tuple[Phase, ...] = ("views", "teacher", "forward", "backward", "optimiser", "evaluation", "waiting")


class Phases:
    """Seconds by phase, on the :func:`~distillab.training.numerics.device.clock` of a device.

    On a GPU, work is handed over and done later: there these are the times of handing over, and what the
    CPU then waits for the GPU stands under ``waiting``.
    """

    def __init__(self, device: torch.device) -> None:
        self._clock = clock(device)
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
