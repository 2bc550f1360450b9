"""Teachers that teach together: how much each of them counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distillab.methods import Batch
from distillab.methods.divergence import cross_entropy
from distillab.models import Combine
from distillab.models.outputs import Outputs


def member_weights(combine: Combine, accuracies: Sequence[float]) -> Tensor:
    """Weights of networks by their accuracies on val, float32 ``[members]``, of sum one.

    ``accuracy``: in proportion to them, equal if all are 0. ``best``: the best alone, of equals the first.
    The other combinations weigh images, or nothing: equal.
    """
    known = torch.tensor(accuracies, dtype=torch.float32)
    if combine == "best":
        return torch.nn.functional.one_hot(known.argmax(), len(known)).float()
    if combine == "accuracy" and known.sum() > 0:
        return known / known.sum()
    return torch.full_like(known, 1 / len(known))


def by_correctness(said: Outputs, batch: Batch, members: int) -> Outputs:
    """What several teachers say of a batch, each weighed image by image by its probability of the label.

    The logits ``[N, members * C]`` become sum_k w_k z_k ``[N, C]`` with w_k = p_k[y] / sum_j p_j[y] at T = 1:
    a teacher that is wrong about an image counts little there. Where two images were mixed, log p_k[y] is the
    mean of both labels' by their shares; an image without a label weighs all teachers alike.
    """
    logits = said.logits.float().reshape(len(said.logits), members, -1)
    log_chances = _log_chances(logits, batch.labels)
    if batch.mixed is not None:
        others = _log_chances(logits, batch.mixed.labels)
        log_chances = torch.lerp(others, log_chances, batch.mixed.share.to(logits)[:, None])
    return replace(said, logits=(log_chances.softmax(1)[:, :, None] * logits).sum(1))


def _log_chances(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_k[y], 0 without a label: ``[N, members, C]`` -> ``[N, members]``."""
    return -torch.stack([cross_entropy(each, labels) for each in logits.unbind(1)], dim=1)
