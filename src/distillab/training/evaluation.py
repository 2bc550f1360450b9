"""Outputs of a network for examples as they are: without augmentation, in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from distillab.artefacts import StoredLogits
from distillab.data.examples import Examples
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
            examples without.
        normalize: The normalization of the inputs.
        device: Where the network is.
        precision: The precision of the forward pass.
    """
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


def to_half(values: torch.Tensor) -> StoredLogits:
    """Return a tensor as float16 on the CPU; finite values stay finite (float16 ends at 65504).

    Example:
        >>> to_half(torch.tensor([1.0, 1e9])).tolist()
        [1.0, 65504.0]
    """
    limit = torch.finfo(torch.float16).max
    return values.float().clamp(-limit, limit).half().cpu().numpy()
