"""Networks that claims need beside those of the registry."""

from __future__ import annotations

from torch import nn


def dense(classes: int, channels: int, resolution: int) -> nn.Module:
    """Return a network of two dense layers of 256 units and a classifier, without normalization.

    Batch normalization would keep the statistics of the training images, so that a network that was trained
    on noise alone could not be tested on digits.

    Args:
        classes: Number of logits.
        channels: Channels of an image.
        resolution: Pixels per side.

    Example:
        >>> import torch
        >>> dense(10, channels=1, resolution=14)(torch.zeros(2, 1, 14, 14)).shape
        torch.Size([2, 10])
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * resolution**2, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )
