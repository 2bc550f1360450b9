"""Losses on labels of which some are missing or mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED

LEAST_LABELLED = 1e-6


@dataclass(frozen=True)
class Mixed:
    """The second labels of a batch whose augmentation mixes two examples (mixup, CutMix).

    Attributes:
        labels: int64 ``[N]`` or int8 ``[N, K]``, the labels of the examples mixed in.
        share: float32 ``[N]`` in [0, 1], the weight of an example's own label; ``labels`` has the rest.

    Example:
        >>> mixed = Mixed(torch.tensor([1]), share=torch.tensor([0.75]))
        >>> mean_over_labelled(lambda labels: labels.float(), torch.tensor([0]), mixed)
        tensor([0.2500])
    """

    labels: Tensor
    share: Tensor


def mean_over_labelled(loss: Callable[[Tensor], Tensor], labels: Tensor, mixed: Mixed | None) -> Tensor:
    """Return a loss per example whose mean over the batch is the mean over the labelled examples.

    The loss of each example is scaled by N over the number of labelled examples, a mixed example counting by
    the shares of its labels: by 1, exactly, where all have a label. Where none has, all is 0.

    Args:
        loss: Returns ``[N]`` for labels, with 0 where an example has none.
        labels: int64 ``[N]`` or int8 ``[N, K]``, -1 where a label is not known.
        mixed: The second labels, if two examples were mixed: their loss counts by its share.

    Returns:
        The scaled loss, ``[N]``.

    Example:
        >>> mean_over_labelled(lambda labels: labels.clamp(min=0).float(), torch.tensor([3, -1]), None)
        tensor([6., 0.])
    """
    total = loss(labels)
    labelled = _labelled(labels).to(total)
    if mixed is not None:
        share = mixed.share.to(total)
        total = torch.lerp(loss(mixed.labels), total, share)
        labelled = torch.lerp(_labelled(mixed.labels).to(total), labelled, share)
    return total * (len(total) / labelled.sum().clamp(min=LEAST_LABELLED))


def _labelled(labels: Tensor) -> Tensor:
    known = labels != UNLABELLED
    return known if known.ndim == 1 else known.flatten(1).any(dim=1)
