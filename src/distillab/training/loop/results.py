"""How the training of a network ends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from distillab.artefacts import EpochRecord
from distillab.training.checkpoints import StateDict


class DivergenceError(RuntimeError):
    """The loss or an output of the network is not finite. The run is kept as failed; the study goes on.

    Example:
        >>> raise DivergenceError("the loss is not finite in epoch 2 (by step 9)")
        Traceback (most recent call last):
        distillab.training.loop.results.DivergenceError: the loss is not finite in epoch 2 (by step 9)
    """


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its training.

    Attributes:
        model: The network, with its last weights.
        last: The last weights.
        selected: The weights of the epoch selected on the validation set.
        selected_epoch: That epoch, from 1.
        curve: The validation curve.
        seconds: Seconds of training, including its share of the work that a cohort does once.
        phases: The same seconds by phase.
        building: Seconds that building the network and its method took.
        resumed_at: The step from which it went on after an interruption; None if it was trained in one go.

    Example:
        >>> import torch
        >>> state = {"weight": torch.zeros(1)}
        >>> TrainedNetwork(nn.Identity(), state, state, 1, (), 0.5, {"forward": 0.5}).selected_epoch
        1
    """

    model: nn.Module
    last: StateDict
    selected: StateDict
    selected_epoch: int
    curve: tuple[EpochRecord, ...]
    seconds: float
    phases: dict[str, float]
    building: float = 0.0
    resumed_at: int | None = None
