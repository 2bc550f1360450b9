"""The outputs of a teacher of which a budget of soft labels keeps a part."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from distillab.models.outputs import Outputs
from distillab.training.batches import TrainingBatch
from distillab.training.teachers.feed import TeacherFeed


class BudgetedTeacher:
    """A teacher of whose probabilities the likeliest are kept, rounded to a few bits.

    Args:
        feed: The teacher.
        top_k: Classes whose probabilities are kept; 0 for all.
        bits: Bits of each log-probability; 0 for as many as there are.

    Example:
        >>> import numpy as np, torch
        >>> teacher = BudgetedTeacher(lambda batch: Outputs(torch.tensor([[4.0, 3.0, 1.0, 0.0]])), top_k=2)
        >>> batch = TrainingBatch(0, 0, True, np.array([0]), torch.zeros(1, 1, 8, 8), torch.tensor([0]))
        >>> teacher(batch).logits.exp().round(decimals=2)
        tensor([[0.7000, 0.2600, 0.0200, 0.0200]])
    """

    def __init__(self, feed: TeacherFeed, top_k: int = 0, bits: int = 0) -> None:
        self._feed, self._top_k, self._bits = feed, top_k, bits

    def __call__(self, batch: TrainingBatch) -> Outputs:
        """Return the outputs for a batch; their logits are log-probabilities."""
        outputs = self._feed(batch)
        return replace(outputs, logits=limited_logits(outputs.logits, self._top_k, self._bits))


def limited_logits(logits: Tensor, top_k: int = 0, bits: int = 0) -> Tensor:
    """Return log-probabilities of which a part is kept, float ``[N, C]``.

    Args:
        logits: Float ``[N, C]``.
        top_k: Classes that are kept; the others share the rest of the probability evenly. 0 for all.
        bits: Log-probabilities that are kept are rounded to 2^bits levels, evenly spaced from the smallest to
            the largest of an example. 0 for no rounding.

    Example:
        >>> import torch
        >>> limited_logits(torch.tensor([[4.0, 2.9, 1.0, 0.0]]), bits=1).softmax(1).round(decimals=2)
        tensor([[0.4900, 0.4900, 0.0100, 0.0100]])
    """
    log_p = logits.float().log_softmax(dim=1)
    classes = log_p.shape[1]
    if not top_k or top_k >= classes - 1:
        return _rounded(log_p, bits)
    kept, places = log_p.topk(top_k, dim=1)
    rest = log_p.scatter(1, places, -math.inf).logsumexp(dim=1, keepdim=True)
    spread = (rest - math.log(classes - top_k)).expand(-1, classes)
    return spread.scatter(1, places, _rounded(kept, bits))


def _rounded(values: Tensor, bits: int) -> Tensor:
    """Return values rounded to 2^bits levels between the smallest and the largest of a row."""
    if not bits:
        return values
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    steps = 2**bits - 1
    width = (high - low).clamp_min(1e-12) / steps
    rounded: Tensor = low + ((values - low) / width).round() * width
    return rounded
