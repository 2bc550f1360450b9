"""Networks whose attributions are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

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


@contextmanager
def counted_passes() -> Iterator[Counter[str]]:
    """Count the images that networks compute in the ``with`` block, by the number of their residual blocks:
    ``resnet8`` has 3, ``resnet14`` 6."""
    names = {8: "resnet8", 14: "resnet14"}
    counted: Counter[str] = Counter()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if any(isinstance(each, nn.Linear) for each in module.children()):
            layers = sum(
                isinstance(each, nn.Conv2d) and each.kernel_size == (3, 3) for each in module.modules()
            )
            counted[names[layers + 1]] += len(inputs[0])

    handle = register_module_forward_hook(count)
    try:
        yield counted
    finally:
        handle.remove()
