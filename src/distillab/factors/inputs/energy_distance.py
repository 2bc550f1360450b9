"""The distance between two sets of items, whatever their labels."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import IMAGE, Examples, Items
from distillab.modalities.embedding import embed

_DIMENSIONS = 32


def energy_distance(first: Items, second: Items, modality: str = IMAGE) -> float:
    """Return the energy distance of two samples of items, from 0 (same distribution) to 1.

    (2 E|X - Y| - E|X - X'| - E|Y - Y'|) / 2 E|X - Y|, without bias for small samples, in the reference
    embedding of both together (Szekely and Rizzo, "Energy statistics", Journal of Statistical Planning and
    Inference 2013).

    Args:
        first: ``[N, C, H, W]``.
        second: ``[M, C, H, W]``.
        modality: What the items are.

    Returns:
        The distance, or NaN unless both samples have at least two items.
    """
    from scipy.spatial.distance import cdist, pdist  # slow to import

    if min(len(first), len(second)) < 2:
        return float("nan")
    both = np.concatenate([first, second])
    examples = Examples.of(both, np.zeros(len(both), np.int64), ("any",), modality=modality)
    vectors = embed(examples, dimensions=_DIMENSIONS)
    x, y = vectors[: len(first)], vectors[len(first) :]
    between = float(cdist(x, y).mean())
    within = float(pdist(x).mean() + pdist(y).mean())
    return float(np.clip(1 - within / (2 * between), 0, 1)) if between else 0.0
