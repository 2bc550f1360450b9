"""Networks whose attributions are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from distillab.explain import ExplainedNetwork
from distillab.models import InputSpec, build_model


class Planted(nn.Module):
    """A network whose first logit is the sum of one rectangle of the first channel."""

    def __init__(self, rows: slice, columns: slice) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        found = x[:, 0, self.rows, self.columns].sum(dim=(1, 2))
        return torch.stack([found, -found], dim=1)


def planted(side: int = 16) -> tuple[ExplainedNetwork, np.ndarray]:
    """Return a network that reads the upper left quarter of an image, and that quarter, bool ``[H, W]``."""
    half = slice(0, side // 2)
    mask = np.zeros((side, side), bool)
    mask[half, half] = True
    return ExplainedNetwork.of(Planted(half, half), InputSpec(1, side, side), name="planted"), mask


def small_network(model: str = "resnet8", side: int = 16, channels: int = 3) -> ExplainedNetwork:
    """Return a network with random weights, the same at every call."""
    inputs = InputSpec(channels, side, side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_model(model, classes=4, inputs=inputs)
    return ExplainedNetwork.of(module, inputs, name=model)


def random_inputs(count: int = 2, side: int = 16, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, side, side, generator=generator)
