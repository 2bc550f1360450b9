"""The stream of training batches: which examples, in which order, under which views.

All members of a cohort, and a distilled student and its plain student, share one stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities import Normalization
from distillab.modalities.views import Mixture
from distillab.training.recipe import ResolvedRecipe
from distillab.training.strong_views import strong_recipe, strong_view_seed

_FIRST_SLOT = 2**60  # above all ids: the order of slots is drawn apart from that of examples


@dataclass(frozen=True)
class TrainingBatch:
    """The examples of one step.

    Attributes:
        index: Number of the step, from 0.
        epoch: Number of the epoch, from 0.
        last_of_epoch: Whether the next step belongs to another epoch, or there is none.
        positions: int64 ``[N]``, the places of the examples in the training set, unlabelled ones last.
        inputs: float32 ``[N, C, H, W]``, normalized.
        ids: int64 ``[N]``.
        mixture: What the inputs were mixed with, under augmentation that mixes.
        strong: The same examples under their strong views, if a method needs them.
        is_strong: Whether the inputs are strong views.
        view_epoch: The epoch whose views these are, if it is another one.
        maps: Where the points of the items are in these views, float32 ``[N, 2, 3]``, if targets are boxes.
    """

    index: int
    epoch: int
    last_of_epoch: bool
    positions: Indices
    inputs: Tensor
    ids: Tensor
    mixture: Mixture | None = None
    strong: TrainingBatch | None = None
    is_strong: bool = False
    view_epoch: int | None = None
    maps: Tensor | None = None

    @property
    def drawn_in(self) -> int:
        """The epoch whose views these are."""
        return self.epoch if self.view_epoch is None else self.view_epoch


def epoch_order(ids: Indices, epoch: int, seed: int) -> Indices:
    """Return the order of the examples in an epoch, int64 ``[N]``: a function of ids, epoch and seed alone.

    Example:
        >>> epoch_order(np.arange(8), epoch=2, seed=99).tolist()
        [2, 5, 6, 0, 3, 7, 1, 4]
    """
    return np.argsort(random_bits(ids, seed, epoch), kind="stable").astype(np.int64)


def balanced_order(ids: Indices, labels: Indices, epoch: int, seed: int) -> Indices:
    """Return the order of an epoch in which all classes are equally frequent, int64 ``[N]``.

    Examples of rare classes are repeated, each as often as the others of its class, up to one time. Of
    frequent classes, some are left out, others in each epoch. Where N is no multiple of the number of
    classes, the classes take turns in having one more. The order is a function of the arguments alone.

    Args:
        ids: The ids of the examples, int64 ``[N]``.
        labels: Their labels, int64 ``[N]``.
        epoch: Number of the epoch, from 0.
        seed: Seed of the order.

    Example:
        >>> order = balanced_order(np.arange(6), np.array([0, 0, 0, 0, 0, 1]), epoch=0, seed=1)
        >>> int((order == 5).sum()), len(set(order.tolist()) - {5})
        (3, 3)
    """
    order, classes = epoch_order(ids, epoch, seed), np.unique(labels)
    each, more = divmod(len(ids), len(classes))
    slots = [
        np.resize(order[labels[order] == label], each + ((place + epoch) % len(classes) < more))
        for place, label in enumerate(classes)
    ]
    mixed = epoch_order(np.arange(len(ids)) + _FIRST_SLOT, epoch, seed)
    return np.concatenate(slots)[mixed]


def training_batches(
    train: Examples,
    recipe: ResolvedRecipe,
    normalize: Normalization,
    *,
    order_seed: int,
    view_seed: int,
    device: torch.device,
    strong: bool = False,
    start: int = 0,
) -> Iterator[TrainingBatch]:
    """Yield the batches of ``recipe.steps`` steps, from a step on.

    Each epoch leaves out the remainder that does not fill a batch. As the order changes with the epoch, no
    example is left out for long. An epoch is one of the labelled examples: their batches, order and views are
    the same whether unlabelled ones are added to them or not.

    Args:
        train: The training set.
        recipe: Steps, batch size and views.
        normalize: The normalization of the inputs.
        order_seed: Seed of the order of the examples.
        view_seed: Seed of the augmentation.
        device: Where the tensors of the batches are.
        strong: Whether each batch also has the strong views of its examples.
        start: The first step.
    """
    views = recipe.view_spec
    strong_views = strong_recipe(train, recipe).view_spec if strong else None
    strong_seed = strong_view_seed(view_seed)
    index, (begun, done) = start, divmod(start, recipe.steps_per_epoch)
    for epoch in range(begun, recipe.epochs):
        order, drawn_in = _EpochOrder(train, recipe, epoch, order_seed), recipe.view_epoch(epoch)
        for batch in range(done if epoch == begun else 0, recipe.steps_per_epoch):
            if index == recipe.steps:
                return
            positions = order.batch(batch)
            rendered = views.batch(train, positions, drawn_in, view_seed, device)
            made = TrainingBatch(
                index=index,
                epoch=epoch,
                last_of_epoch=batch == recipe.steps_per_epoch - 1 or index == recipe.steps - 1,
                positions=positions,
                inputs=normalize(rendered.items),
                ids=torch.from_numpy(train.ids[positions]).to(device),
                mixture=rendered.mixture,
                view_epoch=drawn_in,
                maps=rendered.maps,
            )
            if strong_views:
                items = strong_views.batch(train, positions, drawn_in, strong_seed, device).items
                made = replace(made, strong=replace(made, inputs=normalize(items), is_strong=True))
            yield made
            index += 1


class _EpochOrder:
    """The positions of an epoch: labelled examples in one order, unlabelled ones in another.

    If the recipe has no unlabelled examples in a batch, all examples are in the first order.
    """

    def __init__(self, train: Examples, recipe: ResolvedRecipe, epoch: int, seed: int) -> None:
        self._size, self._more = recipe.batch_size, recipe.unlabelled
        counted = train.labelled if self._more else np.ones(len(train), bool)
        self._main, self._unlabelled = (
            places[epoch_order(train.ids[places], epoch, seed)]
            for places in (np.flatnonzero(counted), np.flatnonzero(~counted))
        )
        if recipe.balanced:
            labelled = np.flatnonzero(train.labelled)
            balanced = balanced_order(train.ids[labelled], train.labels[labelled], epoch, seed)
            # Unlabelled examples in the same order keep their places.
            self._main[train.labelled[self._main]] = labelled[balanced]

    def batch(self, number: int) -> Indices:
        """Return the positions of a batch; unlabelled examples are repeated where an epoch needs more."""
        main = self._main[number * self._size : (number + 1) * self._size]
        if not self._more:
            return main
        places = np.arange(number * self._more, (number + 1) * self._more) % len(self._unlabelled)
        return np.concatenate([main, self._unlabelled[places]])
