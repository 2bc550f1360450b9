"""Outputs of a network for examples as they are: without augmentation, in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from distillab.artefacts import StoredLogits
from distillab.data.examples import Examples, Indices
from distillab.modalities import Normalization
from distillab.models.dry_run import logits_of
from distillab.training.numerics.config import Precision
from distillab.training.numerics.device import autocast, inference_batch_size


@torch.inference_mode()
def predict(
    model: nn.Module, images: Examples, normalize: Normalization, device: torch.device, precision: Precision
) -> StoredLogits:
    """Return the logits of every example, float16 ``[N, classes]``, in order.

    Args:
        model: The network; its mode is restored afterwards.
        images: The examples. Their student transform, if they have one, is applied: a teacher is given
            examples without. An example of several items has the mean of their logits, which is the mean of
            their log-odds.
        normalize: The normalization of the inputs.
        device: Where the network is.
        precision: The precision of the forward pass.
    """
    if images.parts is not None:
        each, owners = images.each_part()
        return mean_of_parts(predict(model, each, normalize, device, precision), owners)
    training = model.training
    model.eval()
    parts, batch = [], inference_batch_size(device)
    for start in range(0, len(images), batch):
        positions = np.arange(start, min(start + batch, len(images)))
        inputs = normalize(torch.from_numpy(images.items(positions)).to(device))
        if images.student_transform:
            inputs = images.student_transform(inputs)
        with autocast(device, precision):
            parts.append(to_half(logits_of(model(inputs))))
    model.train(training)
    return np.concatenate(parts)


def mean_of_parts(logits: StoredLogits, owners: Indices) -> StoredLogits:
    """Return the mean logits of each example, float16 ``[N, classes]``.

    Args:
        logits: Those of the items, float16 ``[M, classes]``.
        owners: int64 ``[M]``, the example that each is a part of; every one of the N has a part.

    Example:
        >>> mean_of_parts(np.array([[1, 0], [3, 0], [5, 1]], np.float16), np.array([0, 0, 1])).tolist()
        [[2.0, 0.0], [5.0, 1.0]]
    """
    counts = np.bincount(owners)
    sums = np.zeros((len(counts), logits.shape[1]))
    np.add.at(sums, owners, logits.astype(np.float64))
    means: StoredLogits = (sums / counts[:, None]).astype(np.float16)
    return means


def to_half(values: torch.Tensor) -> StoredLogits:
    """Return a tensor as float16 on the CPU; finite values stay finite (float16 ends at 65504).

    Example:
        >>> to_half(torch.tensor([1.0, 1e9])).tolist()
        [1.0, 65504.0]
    """
    limit = torch.finfo(torch.float16).max
    return values.float().clamp(-limit, limit).half().cpu().numpy()
