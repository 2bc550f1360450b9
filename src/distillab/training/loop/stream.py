"""The stream of training batches: which images, in which order, under which views. Twins share it."""

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
    normalise: Normalization,
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
                inputs=normalise(rendered.items),
                labels=torch.from_numpy(train.targets.values[positions]).to(device),
                ids=torch.from_numpy(train.ids[positions]).to(device),
                mixture=rendered.mixture,
            )
            index += 1
