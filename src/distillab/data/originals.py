"""Originals: what items were computed from, kept so that a report can show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import Indices, Items, ItemStore


@dataclass(frozen=True)
class Original:
    """What one item was computed from.

    Attributes:
        values: For audio, the waveform: int16 ``[S]``.
        facts: What is needed to present it; for audio ``sample_rate`` in Hz.

    Example:
        >>> Original(np.zeros(16000, np.int16), {"sample_rate": 8000}).facts["sample_rate"]
        8000
    """

    values: Items
    facts: JsonObject


@dataclass(frozen=True, eq=False)
class Originals:
    """What the items of a dataset were computed from, found by the id of an example.

    Attributes:
        ids: int64 ``[M]``, ascending.
        items: ``[M, ...]``; for audio int16 ``[M, S]``.
        facts: What is needed to present any of them, JSON-able.

    Example:
        >>> waves = np.zeros((2, 8000), np.int16)
        >>> originals = Originals(np.array([3, 7]), waves, {"sample_rate": 8000})
        >>> originals.of(7).values.shape, originals.of(5)
        ((8000,), None)
    """

    ids: Indices
    items: ItemStore
    facts: JsonObject

    def of(self, example_id: int) -> Original | None:
        """Return the original of the example with an id, or None if it is not kept."""
        place = int(np.searchsorted(self.ids, example_id))
        if place == len(self.ids) or self.ids[place] != example_id:
            return None
        return Original(np.asarray(self.items[np.array([place])])[0], self.facts)

    def renumbered(self, first_id: int) -> Originals:
        """Return the same originals for examples whose ids were increased by ``first_id``."""
        return replace(self, ids=self.ids + first_id)
