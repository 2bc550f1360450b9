"""How easy examples are to learn, measured on how a small classifier learns them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits

_EPOCHS = 10
_BATCH_SIZE = 32
_RATE = 0.5
_SCALE = 4.0  # of vectors of length 1
_DRAW = 0xEA57

_Floats = npt.NDArray[np.float64]


def mean_confidence(vectors: _Floats, labels: Indices, ids: Indices) -> _Floats:
    """Return the probability a classifier gives each example's label, averaged over its training epochs.

    This is the confidence of Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with
    training dynamics", EMNLP 2020, eq. 1. The classifier is a softmax layer on ``vectors``, trained by plain
    stochastic gradient descent: a proxy that ranks examples much as larger networks do (Coleman et al.,
    "Selection via proxy", ICLR 2020), in seconds.

    Args:
        vectors: float64 ``[N, D]``, of length 1.
        labels: int64 ``[N]``.
        ids: int64 ``[N]``; they decide the order of training, so the order of the arguments does not matter.

    Returns:
        float64 ``[N]``.
    """
    sorted_by_id = np.argsort(ids, kind="stable")
    inputs = np.hstack([_SCALE * vectors[sorted_by_id], np.ones((len(vectors), 1))])
    _, targets = np.unique(labels[sorted_by_id], return_inverse=True)
    weights = np.zeros((inputs.shape[1], int(targets.max()) + 1))
    total = np.zeros(len(inputs))
    everything = np.arange(len(inputs))
    for epoch in range(_EPOCHS):
        order = np.argsort(random_bits(ids[sorted_by_id], _DRAW, epoch), kind="stable")
        for start in range(0, len(order), _BATCH_SIZE):
            rows = order[start : start + _BATCH_SIZE]
            wrong = _probabilities(inputs[rows] @ weights)
            wrong[np.arange(len(rows)), targets[rows]] -= 1
            weights -= _RATE / len(rows) * (inputs[rows].T @ wrong)
        total += _probabilities(inputs @ weights)[everything, targets]
    out = np.empty(len(inputs))
    out[sorted_by_id] = total / _EPOCHS
    return out


def _probabilities(logits: _Floats) -> _Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: _Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
