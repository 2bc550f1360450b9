"""The weights of the teachers in an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distillab.data.targets import Targets
from distillab.methods import Batch
from distillab.models import Combine
from distillab.models.outputs import Outputs
from distillab.tasks import Task
from distillab.tasks.arrays import Logits
from distillab.tasks.losses import cross_entropy


def member_weights(combine: Combine, scores: Sequence[float]) -> Tensor:
    """Return the weights of networks by their scores on the validation set, float32 ``[members]``, of sum 1.

    Args:
        combine: ``accuracy``: in proportion to the scores, equal if all are 0. ``best``: the best network
            alone, of equal ones the first. The other combinations weight each example, or nothing: equal.
        scores: One per network.

    Example:
        >>> member_weights("accuracy", [0.6, 0.2])
        tensor([0.7500, 0.2500])
        >>> member_weights("best", [0.6, 0.2])
        tensor([1., 0.])
    """
    known = torch.tensor(scores, dtype=torch.float32)
    if combine == "best":
        return torch.nn.functional.one_hot(known.argmax(), len(known)).float()
    if combine == "accuracy" and known.sum() > 0:
        return known / known.sum()
    return torch.full_like(known, 1 / len(known))


def greedy_weights(logits: Sequence[Logits], targets: Targets, task: Task) -> Tensor:
    """Return the weights of the networks that together score best on some examples, chosen one by one.

    The first is the one with the best score, of equal ones the first. Then the one that raises the score of
    the mean of the logits most is added, until none raises it. The score of the chosen ones is never below
    that of the best network on these examples; on others it may be.

    Args:
        logits: The logits of each network, float ``[N, C]``.
        targets: The targets of the examples.
        task: The task, which gives the score.

    Returns:
        float32 ``[members]``, of sum 1: equal for those chosen, 0 for the others.

    Source: Caruana et al., "Ensemble selection from libraries of models", ICML 2004, without replacement.

    Example:
        >>> import numpy as np
        >>> from distillab.data.targets import Labels
        >>> from distillab.tasks import Classification
        >>> right, wrong = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 2.0]], np.float32)
        >>> greedy_weights([wrong, right], Labels(np.array([0]), 2), Classification())
        tensor([0., 1.])
    """
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < len(logits):
        others = [place for place in range(len(logits)) if place not in chosen]
        scores = {
            place: task.score(np.mean([logits[each] for each in (*chosen, place)], axis=0), targets)
            for place in others
        }
        place = max(scores, key=lambda each: scores[each])
        if chosen and not scores[place] > best:
            break
        chosen.append(place)
        best = scores[place]
    weights = torch.zeros(len(logits))
    weights[chosen] = 1 / len(chosen)
    return weights


def weight_by_correctness(outputs: Outputs, batch: Batch, members: int) -> Outputs:
    """Return the outputs of an ensemble whose networks are weighted by their probability of the label.

    The logits become sum_k w_k z_k ``[N, C]`` with w_k = p_k[y] / sum_j p_j[y] at T = 1: a network that is
    wrong about an example counts little there. Where two examples were mixed, log p_k[y] is the mean of both
    labels' by their shares. For an example without a label all networks count the same.

    Args:
        outputs: Outputs whose logits are those of all networks side by side, ``[N, members * C]``.
        batch: The batch, with its labels.
        members: Number of networks.
    """
    logits = outputs.logits.float().reshape(len(outputs.logits), members, -1)
    log_likelihood = _log_likelihood(logits, batch.labels)
    if batch.mixed is not None:
        other = _log_likelihood(logits, batch.mixed.labels)
        log_likelihood = torch.lerp(other, log_likelihood, batch.mixed.share.to(logits)[:, None])
    return replace(outputs, logits=(log_likelihood.softmax(1)[:, :, None] * logits).sum(1))


def _log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_k[y], 0 without a label: ``[N, members, C]`` -> ``[N, members]``."""
    return -torch.stack([cross_entropy(each, labels) for each in logits.unbind(1)], dim=1)
