"""Means of the loss terms over the steps since the last point of the validation curve."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distillab.training.loop.plain_state import TrainingState
from distillab.training.loop.results import DivergenceError


class RunningMeans:
    """Running means of loss terms, kept on the device, so that a GPU does not have to wait at every step.

    Example:
        >>> import torch
        >>> means = RunningMeans()
        >>> for ce in (1.0, 3.0):
        ...     means.add({"ce": torch.tensor(ce)}, torch.tensor(ce))
        >>> means.take()
        {'ce': 2.0}
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._loss: Tensor | None = None
        self._steps = 0

    def add(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        """Add the loss terms of a step, and their sum."""
        for name, value in terms.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        value = loss.detach().float()
        self._loss = value if self._loss is None else self._loss + value
        self._steps += 1

    def check_finite(self, epoch: int, steps: int) -> None:
        """Raise DivergenceError if a loss that was added is not finite.

        Args:
            epoch: The epoch for the message, from 1.
            steps: Steps done until now.
        """
        if self._loss is not None and not math.isfinite(float(self._loss)):
            raise DivergenceError(f"the loss is not finite in epoch {epoch} (by step {steps})")

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: float(value) / self._steps for name, value in self._sums.items()}
        self._sums, self._loss, self._steps = {}, None, 0
        return means

    def state(self) -> TrainingState:
        """Return the sums, to be restored after an interruption."""
        return {"sums": self._sums, "loss": self._loss, "steps": self._steps}

    def restore(self, state: TrainingState, device: torch.device) -> None:
        """Go on from the sums of :meth:`state`, on a device."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._loss = None if state["loss"] is None else state["loss"].to(device)
        self._steps = state["steps"]
