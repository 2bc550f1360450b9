"""Weights of examples: by the size of their class or group, or by a weight of their label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED
from distillab.methods.divergence import by_labels, cross_entropy
from distillab.methods.method import Batch


def examples_per_class(labels: Tensor | None, classes: int) -> Tensor:
    """Return the number of examples per class, float32 ``[classes]``, from int64 ``[n_train]``.

    Examples without a class (-1) are left out. A class without examples counts as one of a single example, so
    that weights stay finite. Where no labels are known, as while a study is planned, all classes are alike.
    """
    if labels is None:
        return torch.ones(classes)
    return torch.bincount(labels[labels != UNLABELLED], minlength=classes).clamp(min=1).float()


def effective_number_weights(examples: Tensor, beta: float) -> Tensor:
    """Return (1 - beta) / (1 - beta^n) for n examples of a class, scaled to a mean of 1, float32 ``[C]``.

    With beta = 0 all weigh the same; as beta nears 1 they weigh as 1 / n. Source: Cui et al., "Class-balanced
    loss based on effective number of samples", CVPR 2019, equation 2 and section 4.

    Args:
        examples: Number of examples per class, ``[C]``.
        beta: In [0, 1).
    """
    n = examples.double()
    weights = (1 - beta) / (1 - beta**n)
    return (weights / weights.mean()).float()


def even_weights(kinds: Tensor | None, number: int) -> Tensor:
    """Return n / (K n_k) per kind, float32 ``[number]``, from int64 ``[n_train]``.

    Each of the K kinds that have examples counts as much as any other, and the mean over examples is 1.
    Examples of no kind (-1) are left out. Where no kinds are known all weigh 1, as a kind without examples
    does.
    """
    if kinds is None:
        return torch.ones(number)
    examples = torch.bincount(kinds[kinds != UNLABELLED], minlength=number).float()
    present = examples > 0
    return torch.where(present, examples.sum() / (present.sum() * examples.clamp(min=1)), 1.0)


def weighted_label_loss(logits: Tensor, batch: Batch, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the cross-entropy with the labels times their weight, ``[N]``.

    Where two examples were mixed, both labels count by their share, each with its weight. Its mean is that
    over the labelled examples.

    Args:
        logits: float ``[N, C]``.
        batch: Holds the labels.
        weight: Returns ``[N]`` for labels int64 ``[N]``.
    """
    return by_labels(batch, lambda labels: weight(labels.clamp(min=0)) * cross_entropy(logits, labels))
