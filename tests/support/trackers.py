"""Exported networks for tracking that find and follow something without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from distillab.data.examples import Examples
from distillab.data.tracks import Tracks
from distillab.deploy import Exported, ModelDescription, write_model
from distillab.deploy.graph import graph_items
from distillab.deploy.judged import judged_outputs
from distillab.deploy.loaded import TorchEngine
from distillab.models import InputSpec
from distillab.tasks.detections import detections_in
from support.exported import smooth_images

SIDE = 64
FRAMES = 12


def describe_tracker() -> ModelDescription:
    """Return the description of a network for tracking in RGB images of 64x64 pixels."""
    values = np.linspace(0.4, 0.6, 3, dtype=np.float32)
    return ModelDescription(
        architecture="fairmot_resnet_s",
        classes=("walker",),
        item=InputSpec(3, SIDE, SIDE),
        mean=values,
        std=values / 2,
        task={"name": "tracking", "patience": 8},
    )


def bold_tracker(description: ModelDescription) -> torch.nn.Module:
    """Return a network for tracking with random weights that is as confident as a trained one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = description.build()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.startswith(("centers.", "identities.")) and values.ndim == 4:
                values.copy_(0.2 * torch.randn(values.shape, generator=generator))
            if name == "centers.2.bias":
                values.fill_(-2.0)
            if name == "boxes.2.bias":
                values.copy_(torch.tensor([0.0, 0.0, 1.0, 1.5]))
    return network.eval()


def moving_frames(count: int = FRAMES, seed: int = 0) -> np.ndarray:
    """Return views of a picture by a camera that moves by four pixels a frame, uint8 ``[N, 3, side, side]``.

    A cell of the network is four pixels: what it sees moves by one cell.
    """
    wide = smooth_images(1, (3, SIDE, SIDE + 4 * count), seed)[0]
    return np.stack([wide[:, :, 4 * frame : 4 * frame + SIDE] for frame in range(count)])


def followed(network: torch.nn.Module, description: ModelDescription, seed: int = 0) -> Examples:
    """Return frames whose objects are some of the boxes that a network finds in them."""
    pixels = moving_frames(seed=seed)
    cells, _ = TorchEngine(network, description).run(graph_items(pixels, description), 8)
    rows = []
    for found in detections_in(judged_outputs(cells, description)):
        best = found[found[:, 5] >= 0][:3]
        rows.append([(row[5], *row[:4], number) for number, row in enumerate(best.tolist())])
    return Examples.of(pixels, Tracks.of(rows, 1), description.classes, first_id=1000 * seed)


def written_tracker(out: Path, formats: tuple[str, ...] | None = None) -> Exported:
    """Write an exported network for tracking that finds the objects of its validation frames."""
    description = describe_tracker()
    network = bold_tracker(description)
    val = followed(network, description)
    return write_model(
        network,
        out,
        description=description,
        val=val,
        calibration=val,
        formats=formats,
        training=[followed(network, description, seed=1)],
    )


def write_frames(folder: Path, times: int = 1, seed: int = 0) -> Path:
    """Write frames as ``1.png`` to ``12.png``, enlarged, and return the folder."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(moving_frames(seed=seed), start=1):
        picture = Image.fromarray(pixels.transpose(1, 2, 0)).resize((3 * times * SIDE // 2, times * SIDE))
        picture.save(folder / f"{number}.png")
    return folder
