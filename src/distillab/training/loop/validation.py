"""The validation curve of a training, and the checkpoint that it selects."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from distillab.artefacts import VAL, EpochRecord
from distillab.modalities import Normalization
from distillab.tasks import EmbeddingTask
from distillab.training.checkpoints import StateDict, snapshot
from distillab.training.evaluation import Evaluator
from distillab.training.loop.member import CohortMember
from distillab.training.loop.plain_state import TrainingState
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
        self._member = member
        task, database = member.task, member.data
        if isinstance(task, EmbeddingTask):
            database = database.select(task.val_positions(database.targets))
        self._evaluator = Evaluator(task, database, normalize, device, member.recipe.precision)

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

    def state(self) -> TrainingState:
        """Return curve and selection, to be restored after an interruption."""
        return {
            "curve": [asdict(point) for point in self.curve],
            "selected": self.selected,
            "selected_epoch": self.selected_epoch,
            "best_score": self._best_score,
        }

    def restore(self, state: TrainingState) -> None:
        """Go on from the curve and the selection of :meth:`state`."""
        self.curve = [EpochRecord.from_dict(point) for point in state["curve"]]
        self.selected, self.selected_epoch = state["selected"], state["selected_epoch"]
        self._best_score = state["best_score"]

    def _score(self, network: nn.Module, epoch: int) -> float:
        # The very last step can ruin the weights without a loss that would show it, so outputs are checked.
        val, task = self._member.val, self._member.task
        stored = self._evaluator.outputs(network, {VAL: val}).stored[VAL]
        if not np.isfinite(task.logits_in(stored)).all():
            raise DivergenceError(f"an output of the network is not finite after epoch {epoch}")
        return task.score(stored, val.targets)
