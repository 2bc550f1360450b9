"""What a network says about images as they are: logits, without views, in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from distillab.artefacts import StoredLogits
from distillab.data.examples import Examples
from distillab.modalities import Normalization
from distillab.models.dry_run import logits_of
from distillab.training.numerics.config import Precision
from distillab.training.numerics.device import autocast, forward_batch


@torch.inference_mode()
def predict(
    model: nn.Module, images: Examples, normalise: Normalization, device: torch.device, precision: Precision
) -> StoredLogits:
    """Logits of every image, float16 ``[N, classes]``. The model's mode is put back afterwards.

    The images are seen through their lens if they have one: a teacher is given those without.
    """
    training = model.training
    model.eval()
    parts, batch = [], forward_batch(device)
    for start in range(0, len(images), batch):
        positions = np.arange(start, min(start + batch, len(images)))
        inputs = normalise(torch.from_numpy(images.items(positions)).to(device))
        if images.student_transform:
            inputs = images.student_transform(inputs)
        with autocast(device, precision):
            parts.append(to_half(logits_of(model(inputs))))
    model.train(training)
    return np.concatenate(parts)


def to_half(logits: torch.Tensor) -> StoredLogits:
    """Logits as float16 on the CPU; finite values stay finite (float16 ends at 65504)."""
    limit = torch.finfo(torch.float16).max
    return logits.float().clamp(-limit, limit).half().cpu().numpy()


def accuracy(logits: StoredLogits, images: Examples) -> float:
    """Share of images whose largest logit is their label's."""
    return float((logits.argmax(axis=1) == images.labels).mean())
