"""Exported detectors that find something without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from distillab.data.boxes import Boxes
from distillab.data.examples import Examples
from distillab.deploy import Exported, ModelDescription, write_model
from distillab.deploy.graph import graph_items
from distillab.deploy.judged import judged_outputs
from distillab.deploy.loaded import TorchEngine
from distillab.models import InputSpec
from distillab.tasks.detections import detections_in
from support.exported import smooth_images

OBJECTS = ("ant", "bee", "cat")
SIDE = 64


def describe_detector(architecture: str = "fcos_dwnet_s") -> ModelDescription:
    """Return the description of a detector for three classes in RGB images of 64x64 pixels."""
    values = np.linspace(0.4, 0.6, 3, dtype=np.float32)
    return ModelDescription(
        architecture=architecture,
        classes=OBJECTS,
        item=InputSpec(3, SIDE, SIDE),
        mean=values,
        std=values / 2,
        task={"name": "detection"},
    )


def bold_detector(description: ModelDescription) -> torch.nn.Module:
    """Return a detector with random weights that is as confident as a trained one."""
    network = description.build()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.startswith(("classification.", "regression.")) and values.ndim == 4:
                values.copy_(0.08 * torch.randn(values.shape, generator=generator))
            if "cls_logits.bias" in name:
                values.fill_(-1.5)
    return network.eval()


def scenes(
    network: torch.nn.Module, description: ModelDescription, count: int = 12, seed: int = 0
) -> Examples:
    """Return images whose objects are some of the boxes that a network finds in them."""
    pixels = smooth_images(count, description.item.shape, seed)
    cells, _ = TorchEngine(network, description).run(graph_items(pixels, description), 8)
    rows = []
    for found in detections_in(judged_outputs(cells, description)):
        best = found[found[:, 5] >= 0][:6:2]
        rows.append([(row[5], *row[:4]) for row in best.tolist()])
    boxes = Boxes.of(rows, len(OBJECTS))
    assert boxes.objects.sum() > count
    return Examples.of(pixels, boxes, description.classes, first_id=1000 * seed)


def written_detector(
    out: Path, architecture: str = "fcos_dwnet_s", formats: tuple[str, ...] | None = None
) -> Exported:
    """Write an exported detector that finds the objects of its validation images."""
    description = describe_detector(architecture)
    network = bold_detector(description)
    val = scenes(network, description)
    return write_model(
        network,
        out,
        description=description,
        val=val,
        calibration=val,
        formats=formats,
        training=[scenes(network, description, seed=1)],
    )
