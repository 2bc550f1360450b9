"""The stream of training batches: which examples, in which order, under which views.

All members of a cohort, and a distilled student and its plain student, share one stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities import Normalization
from distillab.modalities.views import Mixture
from distillab.training.recipe import ResolvedRecipe


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
    normalize: Normalization,
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
                inputs=normalize(rendered.items),
                ids=torch.from_numpy(train.ids[positions]).to(device),
                mixture=rendered.mixture,
            )
            index += 1
