"""Decoded items, as a modality hands them to the reading of a source."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from distillab.canonical import JsonObject
from distillab.data.examples import ItemStore


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded items.

    Attributes:
        items: ``[M, ...]``, the items that could be decoded, in order; in a file if there are many.
        intact: bool ``[N]``, which of the N encoded items these are.
        broken: (name, reason) of the others, in order.
        originals: ``[M, ...]``, what the items were computed from, if it is kept to be shown.
        facts: What is needed to present the originals, JSON-able.
        notes: Sentences for the data report.

    Example:
        >>> items, intact = np.zeros((1, 1, 8, 8), np.uint8), np.array([True, False])
        >>> Decoded(items, intact, broken=(("b.png", "damaged"),)).items.shape
        (1, 1, 8, 8)
    """

    items: ItemStore
    intact: npt.NDArray[np.bool_]
    broken: tuple[tuple[str, str], ...]
    originals: ItemStore | None = None
    facts: JsonObject = field(default_factory=dict)
    notes: tuple[str, ...] = ()
