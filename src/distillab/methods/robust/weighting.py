"""How much images count: by how many there are of their kind, or by what is thought of their labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED
from distillab.methods.divergence import by_labels, cross_entropy
from distillab.methods.method import Batch


def counts(of: Tensor | None, kinds: int) -> Tensor:
    """Images of each kind, float32 ``[kinds]``, from int64 ``[n_train]``.

    Images of no kind (-1) are left out. A kind without images counts as one of a single image, so that
    weights stay finite. Where nothing is known of the images, as while a study is planned, all kinds are
    alike.
    """
    if of is None:
        return torch.ones(kinds)
    return torch.bincount(of[of != UNLABELLED], minlength=kinds).clamp(min=1).float()


def effective_number_weights(images: Tensor, beta: float) -> Tensor:
    """(1 - beta) / (1 - beta^n) for n images of a class, scaled to a mean of 1: ``[C]`` -> float32 ``[C]``.

    With beta = 0 all weigh the same; as beta nears 1 they weigh as 1 / n. Source: Cui et al., "Class-balanced
    loss based on effective number of samples", CVPR 2019, equation 2 and section 4.
    """
    n = images.double()
    weights = (1 - beta) / (1 - beta**n)
    return (weights / weights.mean()).float()


def even_weights(of: Tensor | None, kinds: int) -> Tensor:
    """n / (K n_k), float32 ``[kinds]``, from int64 ``[n_train]``: each of the K kinds that have images counts
    as much as any other, and the mean over images is 1. Images of no kind (-1) are left out. Where nothing is
    known of the images all weigh 1, as a kind without images does."""
    if of is None:
        return torch.ones(kinds)
    images = torch.bincount(of[of != UNLABELLED], minlength=kinds).float()
    present = images > 0
    return torch.where(present, images.sum() / (present.sum() * images.clamp(min=1)), 1.0)


def weighted_label_loss(logits: Tensor, batch: Batch, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Cross-entropy with the labels times their weight: logits ``[N, C]`` -> ``[N]``.

    ``weight`` gives ``[N]`` for labels int64 ``[N]``. Where two images were mixed, both labels count by their
    share, each with its weight. Its mean is that over the images that have a label.
    """
    return by_labels(batch, lambda labels: weight(labels.clamp(min=0)) * cross_entropy(logits, labels))
