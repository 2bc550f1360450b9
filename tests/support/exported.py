"""Exported models of small networks, and pictures to give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillab.data.examples import Examples
from distillab.deploy import Exported, ModelDescription, write_model
from distillab.deploy.graph import graph_items
from distillab.deploy.loaded import TorchEngine
from distillab.models import InputSpec

CLASSES = ("ant", "bee", "cat", "dog")


def describe(
    architecture: str = "resnet8", size: tuple[int, int, int] = (1, 8, 8), **changes: Any
) -> ModelDescription:
    """Return the description of a network for four classes."""
    values = np.linspace(0.4, 0.6, size[0], dtype=np.float32)
    keys: dict[str, Any] = {"classes": CLASSES, "mean": values, "std": values / 2, **changes}
    return ModelDescription(architecture=architecture, item=InputSpec(*size), **keys)


def built(description: ModelDescription) -> torch.nn.Module:
    """Return a network with weights and statistics that are not those of an initialization."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = description.build()
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def smooth_images(count: int, size: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Return images of coarse random patches, uint8 ``[N, C, H, W]``."""
    rng = np.random.default_rng(seed)
    channels, height, width = size
    coarse = rng.integers(0, 256, (count, channels, -(-height // 4), -(-width // 4)), dtype=np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width].copy()


def examples_for(
    network: torch.nn.Module, description: ModelDescription, count: int = 24, seed: int = 0
) -> Examples:
    """Return images labelled by what a network predicts of them: its accuracy is 1."""
    pixels = smooth_images(count, description.item.shape, seed)
    _, logits = TorchEngine(network, description).run(graph_items(pixels, description), 8)
    assert logits is not None
    return Examples.of(pixels, logits.argmax(axis=1), description.classes, first_id=1000 * seed)


def written(out: Path, description: ModelDescription, formats: Sequence[str], **options: Any) -> Exported:
    """Write an exported model of a network that predicts its validation labels."""
    network = built(description)
    val = options.pop("val", None) or examples_for(network, description)
    calibration = examples_for(network, description, seed=1)
    return write_model(
        network,
        out,
        description=description,
        val=val,
        calibration=calibration,
        formats=formats,
        training=options.pop("training", [calibration]),
        **options,
    )
