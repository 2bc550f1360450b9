"""The validation curve of a training, and the checkpoint that it selects."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from distillab.artefacts import EpochRecord
from distillab.modalities import Normalization
from distillab.training.checkpoints import StateDict, snapshot
from distillab.training.evaluation import predict
from distillab.training.loop.member import CohortMember
from distillab.training.loop.results import DivergenceError


class Validation:
    """Scores a network on its validation set and keeps the best checkpoint.

    Attributes:
        curve: The points until now.
        selected: State of the network at the point with the highest score; of equal ones, the last.
        selected_epoch: The epoch of that point, from 1.
    """

    def __init__(self, member: CohortMember, normalize: Normalization, device: torch.device) -> None:
        self.curve: list[EpochRecord] = []
        self.selected: StateDict = {}
        self.selected_epoch = 0
        self._best_score = -math.inf
        self._member, self._normalize, self._device = member, normalize, device

    def add(self, network: nn.Module, epoch: int, losses: dict[str, float], *, step: int) -> None:
        """Add a point to the curve.

        Args:
            network: The network after the epoch.
            epoch: The epoch, from 1.
            losses: Mean of each loss term since the last point.
            step: Steps until now.

        Raises:
            DivergenceError: An output of the network is not finite.
        """
        score = self._score(network, epoch)
        self.curve.append(EpochRecord(epoch, losses, score, step))
        # Ties go to the later epoch: it has seen more data at no loss on the validation set.
        if not score < self._best_score:
            self._best_score, self.selected_epoch = score, epoch
            self.selected = snapshot(network)

    def note_seconds(self, seconds: float) -> None:
        """Enter the seconds of training until the last point, its own evaluation included."""
        self.curve[-1] = replace(self.curve[-1], seconds=seconds)

    def _score(self, network: nn.Module, epoch: int) -> float:
        # The very last step can ruin the weights without a loss that would show it, so outputs are checked.
        val = self._member.val
        logits = predict(network, val, self._normalize, self._device, self._member.recipe.precision)
        if not np.isfinite(logits).all():
            raise DivergenceError(f"an output of the network is not finite after epoch {epoch}")
        return self._member.task.score(logits, val.targets)
