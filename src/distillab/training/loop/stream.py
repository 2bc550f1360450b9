"""The stream of training batches: which images, in which order, under which views. Twins share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities.image.views import Mixture, channels_last
from distillab.training.recipe import ResolvedRecipe


@dataclass(frozen=True)
class Normalize:
    """Mean and standard deviation a channel, float32 ``[C]``, on the [0, 1] scale."""

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 ``[N, C, H, W]`` to normalised float32 in channels-last memory, on the same device."""
        n, _, height, width = pixels.shape
        mean = torch.as_tensor(self.mean, device=pixels.device) * 255.0
        scale = 1.0 / (torch.as_tensor(self.std, device=pixels.device) * 255.0)
        # An image is one long row, channels last, and so are the statistics: no short loop over channels.
        rows = channels_last(pixels).permute(0, 2, 3, 1).reshape(n, -1).float()
        rows.sub_(mean.repeat(height * width)).mul_(scale.repeat(height * width))
        return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Step:
    """One batch of the stream. ``positions`` int64 ``[N]`` index the training set; ``inputs`` is float32.
    ``mixture`` tells what the images were mixed with, under views that mix."""

    index: int
    epoch: int
    last_of_epoch: bool
    positions: Indices
    inputs: Tensor
    labels: Tensor
    ids: Tensor
    mixture: Mixture | None = None


def epoch_order(ids: Indices, epoch: int, seed: int) -> Indices:
    """The order of images in an epoch, int64 ``[N]``: a function of the ids and the seed alone."""
    return np.argsort(random_bits(ids, seed, epoch), kind="stable").astype(np.int64)


def stream(
    train: Examples,
    recipe: ResolvedRecipe,
    normalise: Normalize,
    *,
    order_seed: int,
    view_seed: int,
    device: torch.device,
) -> Iterator[Step]:
    """Batches for ``recipe.steps`` steps. Each epoch leaves out the remainder that fills no batch; as the
    order changes, no image is left out twice for long."""
    views = recipe.view_spec
    index = 0
    for epoch in range(recipe.epochs):
        order = epoch_order(train.ids, epoch, order_seed)
        for batch in range(recipe.steps_per_epoch):
            if index == recipe.steps:
                return
            positions = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
            rendered = views.batch(train, positions, epoch, view_seed, device)
            ends = batch == recipe.steps_per_epoch - 1 or index == recipe.steps - 1
            yield Step(
                index=index,
                epoch=epoch,
                last_of_epoch=ends,
                positions=positions,
                inputs=normalise(rendered.pixels),
                labels=torch.from_numpy(train.labels[positions]).to(device),
                ids=torch.from_numpy(train.ids[positions]).to(device),
                mixture=rendered.mixture,
            )
            index += 1
