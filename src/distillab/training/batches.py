"""The stream of training batches: which examples, in which order, under which views.

All members of a cohort, and a distilled student and its plain student, share one stream.
"""

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
    """Subtract the mean of each channel and divide by its standard deviation.

    Attributes:
        mean: float32 ``[C]``, on the scale [0, 1].
        std: float32 ``[C]``, on the same scale.

    Example:
        >>> normalize = Normalize(np.array([0.5], np.float32), np.array([0.25], np.float32))
        >>> normalize(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)).flatten().tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return uint8 ``[N, C, H, W]`` as normalized float32 in channels-last memory, on the same device."""
        n, _, height, width = pixels.shape
        mean = torch.as_tensor(self.mean, device=pixels.device) * 255.0
        scale = 1.0 / (torch.as_tensor(self.std, device=pixels.device) * 255.0)
        # Each image is one long row, channels last, and so are the statistics: this avoids a short loop over
        # channels.
        rows = channels_last(pixels).permute(0, 2, 3, 1).reshape(n, -1).float()
        rows.sub_(mean.repeat(height * width)).mul_(scale.repeat(height * width))
        return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class TrainingBatch:
    """The examples of one step.

    Attributes:
        index: Number of the step, from 0.
        epoch: Number of the epoch, from 0.
        last_of_epoch: Whether the next step belongs to another epoch, or there is none.
        positions: int64 ``[N]``, the places of the examples in the training set.
        inputs: float32 ``[N, C, H, W]``, normalized.
        ids: int64 ``[N]``.
        mixture: What the inputs were mixed with, under augmentation that mixes.
    """

    index: int
    epoch: int
    last_of_epoch: bool
    positions: Indices
    inputs: Tensor
    ids: Tensor
    mixture: Mixture | None = None


def epoch_order(ids: Indices, epoch: int, seed: int) -> Indices:
    """Return the order of the examples in an epoch, int64 ``[N]``: a function of ids, epoch and seed alone.

    Example:
        >>> epoch_order(np.arange(8), epoch=2, seed=99).tolist()
        [2, 5, 6, 0, 3, 7, 1, 4]
    """
    return np.argsort(random_bits(ids, seed, epoch), kind="stable").astype(np.int64)


def training_batches(
    train: Examples,
    recipe: ResolvedRecipe,
    normalize: Normalize,
    *,
    order_seed: int,
    view_seed: int,
    device: torch.device,
) -> Iterator[TrainingBatch]:
    """Yield the batches of ``recipe.steps`` steps.

    Each epoch leaves out the remainder that does not fill a batch. As the order changes with the epoch, no
    example is left out for long.

    Args:
        train: The training set.
        recipe: Steps, batch size and views.
        normalize: The normalization of the inputs.
        order_seed: Seed of the order of the examples.
        view_seed: Seed of the augmentation.
        device: Where the tensors of the batches are.
    """
    views = recipe.view_spec
    index = 0
    for epoch in range(recipe.epochs):
        order = epoch_order(train.ids, epoch, order_seed)
        for batch in range(recipe.steps_per_epoch):
            if index == recipe.steps:
                return
            positions = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
            rendered = views.batch(train, positions, epoch, view_seed, device)
            yield TrainingBatch(
                index=index,
                epoch=epoch,
                last_of_epoch=batch == recipe.steps_per_epoch - 1 or index == recipe.steps - 1,
                positions=positions,
                inputs=normalize(rendered.pixels),
                ids=torch.from_numpy(train.ids[positions]).to(device),
                mixture=rendered.mixture,
            )
            index += 1
