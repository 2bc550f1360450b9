"""How easy images are to learn, told from how a small classifier learns them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits

EPOCHS = 10
BATCH = 32
RATE = 0.5
SCALE = 4.0  # of vectors of length 1
_DRAW = 0xEA57

Reals = npt.NDArray[np.float64]


def confidence(vectors: Reals, labels: Indices, ids: Indices) -> Reals:
    """The mean probability, over the epochs of training, that a classifier gives the label of each image:
    float64 ``[N]``.

    This is the confidence of Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with
    training dynamics", EMNLP 2020, eq. 1. The classifier is a softmax layer on ``vectors`` (float64
    ``[N, D]``, of length 1), trained by plain stochastic gradient descent: a stand-in that ranks images much
    as the networks do that it stands for (Coleman et al., "Selection via proxy", ICLR 2020), in seconds.

    Args:
        labels: int64 ``[N]``.
        ids: int64 ``[N]``; they decide the order of the images, so that it does not matter how they stand.
    """
    sorted_by_id = np.argsort(ids, kind="stable")
    inputs = np.hstack([SCALE * vectors[sorted_by_id], np.ones((len(vectors), 1))])
    _, targets = np.unique(labels[sorted_by_id], return_inverse=True)
    weights = np.zeros((inputs.shape[1], int(targets.max()) + 1))
    total = np.zeros(len(inputs))
    everything = np.arange(len(inputs))
    for epoch in range(EPOCHS):
        order = np.argsort(random_bits(ids[sorted_by_id], _DRAW, epoch), kind="stable")
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            wrong = _probabilities(inputs[rows] @ weights)
            wrong[np.arange(len(rows)), targets[rows]] -= 1
            weights -= RATE / len(rows) * (inputs[rows].T @ wrong)
        total += _probabilities(inputs @ weights)[everything, targets]
    out = np.empty(len(inputs))
    out[sorted_by_id] = total / EPOCHS
    return out


def _probabilities(logits: Reals) -> Reals:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Reals = powers / powers.sum(axis=1, keepdims=True)
    return shares
