"""Networks and arrays that tests give to studies as Python objects."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from support.planted import gratings

IMAGES, LABELS = gratings(80, side=16, classes=2)
SHORT: dict[str, Any] = {"steps": 2, "batch_size": 8, "precision": "fp32"}


class SmallNet(nn.Module):
    """A network of a few layers with one stage."""

    def __init__(self, classes: int = 2, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, stride=2), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def small_net(seed: int = 0, **settings: Any) -> SmallNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SmallNet(**settings)


@cache
def trained_net() -> SmallNet:
    """Return a network that tells most of the images apart, normalized as a study of them does."""
    network = small_net(width=16)
    images = torch.from_numpy(IMAGES).float() / 255
    inputs = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    labels = torch.from_numpy(LABELS)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    with torch.random.fork_rng():
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    assert (network.eval()(inputs).argmax(1) == labels).float().mean() > 0.9
    return network
