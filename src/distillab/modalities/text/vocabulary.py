"""The vocabulary: the characters of the training split, and the numbers that networks are given for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.examples import Examples, chunks
from distillab.modalities.normalization import Normalization

VOCABULARY = 5000
"""Rows of the embedding table of every text network: padding, unknown characters, and the most frequent."""
PADDING, UNKNOWN = 0, 1
_RESERVED = 2


def vocabulary_of(texts: Examples) -> ChannelStatistics:
    """Return the most frequent characters, and how often each occurs, float32 ``[at most 4998]`` each.

    Characters are code points, which float32 represents exactly. Of equally frequent ones, those with
    smaller code points come first.

    Args:
        texts: The training examples; no other split decides on the vocabulary.

    Example:
        >>> items = np.array([[[[98, 97, 98, 0]]]], np.int32)
        >>> [each.tolist() for each in vocabulary_of(Examples.of(items, [0], ("a", "b"), modality="text"))]
        [[98.0, 97.0], [2.0, 1.0]]
    """
    counts: dict[int, int] = {}
    for rows in chunks(texts.rows[:, None], size=4096):
        points, found = np.unique(texts.pool.items[rows[:, 0]], return_counts=True)
        for point, number in zip(points.tolist(), found.tolist(), strict=True):
            counts[point] = counts.get(point, 0) + number
    counts.pop(0, None)
    ranked = sorted(counts, key=lambda point: (-counts[point], point))[: VOCABULARY - _RESERVED]
    return np.array(ranked, np.float32), np.array([counts[each] for each in ranked], np.float32)


@dataclass(frozen=True)
class CharacterIds(Normalization):
    """The numbers of characters: 0 for padding, 1 for unknown ones, then the vocabulary by frequency.

    Attributes:
        mean: The vocabulary: code points by frequency, float32 ``[V]``.
        std: How often each occurs in the training split, float32 ``[V]``.

    Example:
        >>> ids = CharacterIds(np.array([98, 97], np.float32), np.array([2, 1], np.float32))
        >>> ids(torch.tensor([[[[97, 98, 120, 0]]]], dtype=torch.int32)).tolist()
        [[[[3.0, 2.0, 1.0, 0.0]]]]
    """

    def __call__(self, items: Tensor) -> Tensor:
        """Return the numbers of the characters of items ``[N, 1, 1, L]``, as float32 of the same shape."""
        known, numbers = (each.to(items.device) for each in self._table)
        points = items.long()
        place = torch.searchsorted(known, points).clamp(max=len(known) - 1)
        found = torch.where(known[place] == points, numbers[place], UNKNOWN)
        return torch.where(points == 0, PADDING, found).float()

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """The code points in ascending order, and their numbers, int64 ``[V]`` each."""
        points = torch.as_tensor(self.mean).long()
        known, order = points.sort()
        return known, order + _RESERVED
