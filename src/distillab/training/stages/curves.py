"""The curve of a network on the test sets, which nothing reads that trains, selects or stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.artefacts import CURVE_LOGITS, EpochRecord, StoredLogits, save_logits
from distillab.training.loop.plain_state import TrainingState
from distillab.training.numerics.device import compute_clock
from distillab.training.stages.roles import StudentSpec


class CurveOnTestSets:
    """Evaluates a network on its test sets at each point of its validation curve.

    It only collects: what it found is not returned to the training that calls it.

    Args:
        student: What the network is trained from.
        device: Where it is.

    Attributes:
        seconds: Seconds that the evaluations took.
    """

    def __init__(self, student: StudentSpec, device: torch.device) -> None:
        self.seconds = 0.0
        self._student, self._device = student, device
        self._scores: dict[int, dict[str, float]] = {}
        self._logits: dict[str, StoredLogits] = {}
        self._kept: frozenset[int] | None = None  # the epochs whose logits are kept, once their size is known

    def add(self, network: nn.Module, epoch: int) -> None:
        """Evaluate the network after an epoch, counted from 1."""
        clock = compute_clock(self._device)
        started = clock()
        sets, precision = self._student.sets, self._student.recipe.precision
        logits = sets.evaluator(self._device, precision).outputs(network, sets.eval).stored
        self._scores[epoch] = {
            name: sets.task.score(values, sets.eval[name].targets)
            if np.isfinite(sets.task.logits_in(values)).all()
            else np.nan
            for name, values in logits.items()
        }
        if epoch in self._epochs_to_keep(sum(values.nbytes for values in logits.values())):
            self._logits |= {f"{name}.{epoch}": values for name, values in logits.items()}
        self.seconds += clock() - started

    def on(self, curve: Sequence[EpochRecord]) -> tuple[EpochRecord, ...]:
        """Return a validation curve with the scores on the test sets at its points."""
        return tuple(replace(point, test=self._scores.get(point.epoch, {})) for point in curve)

    def write(self, folder: Path) -> None:
        """Write the logits that are kept into the folder of an artifact; no file if there are none."""
        if self._logits:
            save_logits(self._logits, folder / CURVE_LOGITS)

    def state(self) -> TrainingState:
        """Return what was collected, to be restored after an interruption of the training."""
        kept = None if self._kept is None else set(self._kept)
        return {"seconds": self.seconds, "scores": self._scores, "logits": self._logits, "kept": kept}

    def restore(self, state: TrainingState) -> None:
        """Go on collecting from :meth:`state`."""
        self.seconds, self._scores, self._logits = state["seconds"], state["scores"], state["logits"]
        self._kept = None if state["kept"] is None else frozenset(state["kept"])

    def _epochs_to_keep(self, bytes_per_point: int) -> frozenset[int]:
        if self._kept is None:
            room = self._student.keep.logit_bytes // max(bytes_per_point, 1)
            self._kept = frozenset(spread(self._student.recipe.val_epochs, room))
        return self._kept


def spread(points: Sequence[int], count: int) -> list[int]:
    """Return at most ``count`` of some points, evenly spread and with the last one.

    Example:
        >>> spread([1, 2, 3, 4, 5, 6, 7, 8], 4), spread([1, 2], 4), spread([1, 2], 0)
        ([2, 4, 6, 8], [1, 2], [])
    """
    count = min(count, len(points))
    return [points[(place + 1) * len(points) // count - 1] for place in range(count)]
