"""The views that students are trained on, and the keys of a teacher's stored outputs for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities.views import Views
from distillab.training.teachers.cache.records import Keys

KEYS_AT_ONCE = 2**18  # views that are looked up at a time
ROW_BITS = 40
# Far from ids, rows and epochs: a draw of a number by the same number reveals nothing about it.
SALT_OF_IDS, SALT_OF_ROWS = (0x7669657773206F66,), (0x726F777320686572,)


@dataclass(frozen=True)
class KeyedViews:
    """Views of a training set, each key once.

    Attributes:
        keys: int64 ``[N]``.
        positions: int64 ``[N]``, the places of the examples in the training set.
        numbers: int64 ``[N]``, the numbers of the views; the epochs if the views are not numbered.
    """

    keys: Keys
    positions: Indices
    numbers: Indices

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, which: slice | npt.NDArray[Any]) -> KeyedViews:
        """Return some of them."""
        return KeyedViews(self.keys[which], self.positions[which], self.numbers[which])


class TrainingViews:
    """The views of a training set in some epochs, and how they are rendered.

    Args:
        images: The training set.
        views: The augmentation.
        seed: Seed of the augmentation.
        epochs: Number of epochs.
    """

    def __init__(self, images: Examples, views: Views, seed: int, epochs: int) -> None:
        self._images, self._views, self._seed, self._epochs = images, views, seed, epochs

    def of_shard(self, shard: int, shards: int) -> Iterator[KeyedViews]:
        """Yield the views of a shard, ordered by key, for some epochs at a time."""
        positions = np.flatnonzero(self._images.rows % shards == shard)
        if not len(positions):
            return
        at_once = max(1, KEYS_AT_ONCE // len(positions))
        for first in range(0, self._epochs, at_once):
            epochs = range(first, min(first + at_once, self._epochs))
            known = [view_keys(self._views, self._images, positions, epoch, self._seed) for epoch in epochs]
            numbers = np.concatenate([number for _, number in known])
            keys, places = np.unique(np.concatenate([key for key, _ in known]), return_index=True)
            yield KeyedViews(keys, positions[places % len(positions)], numbers[places])

    def render(self, wanted: KeyedViews, device: torch.device) -> Tensor:
        """Return views ``[N, C, H, W]``, in the dtype of the pool."""
        if self._views.count is not None:
            items = torch.from_numpy(self._images.items(wanted.positions)).to(device)
            return self._views.render(items, self._views.at(wanted.numbers))
        epochs, of_epoch = np.unique(wanted.numbers, return_inverse=True)
        parts = [
            self._views.batch(
                self._images, wanted.positions[of_epoch == place], int(epoch), self._seed, device
            )
            for place, epoch in enumerate(epochs)
        ]
        in_order = np.argsort(np.argsort(of_epoch, kind="stable"), kind="stable")
        return torch.cat([part.items for part in parts])[torch.from_numpy(in_order).to(device)]


def view_keys(
    views: Views, images: Examples, positions: Indices, epoch: int, seed: int
) -> tuple[Keys, Indices]:
    """Return the keys of the views of some examples in an epoch, and their numbers, or else the epoch.

    Returns:
        int64 ``[N]`` each.
    """
    ids, rows = images.ids[positions], images.rows[positions]
    if views.count is not None:
        numbers = views.index(views.draw(ids, epoch, seed))
        return (numbers << ROW_BITS) | rows, numbers
    # 63 bits of a hash: among ten million views, two would collide once in some two hundred thousand studies.
    mixed = random_bits(ids, *SALT_OF_IDS, epoch) ^ random_bits(rows, *SALT_OF_ROWS, epoch)
    return (mixed >> np.uint64(1)).astype(np.int64), np.full(len(ids), epoch, np.int64)


def find_keys(ordered: Keys, keys: Keys) -> Indices:
    """Return the place of each key among ordered ones, int64 ``[n]``; -1 for those that are not there."""
    places = np.searchsorted(ordered, keys)
    found = places < len(ordered)
    found[found] = ordered[places[found]] == keys[found]
    return np.where(found, places, -1)
