"""Nearest neighbors among the vectors of an embedding, by brute force in batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distillab.data.examples import Indices
from distillab.modalities.embedding.principal import Vectors

NEIGHBORS = 12
_BATCH = 64  # queries per batch: 13 MB of similarities with 50,000 candidates


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The K nearest images of each of Q images, nearest first, the image itself excluded.

    Attributes:
        queries: int64 ``[Q]``, positions of the images.
        positions: int64 ``[Q, K]``, positions of their neighbors.
        distances: float64 ``[Q, K]``, Euclidean distances between unit vectors.
    """

    queries: Indices
    positions: Indices
    distances: npt.NDArray[np.float64]


def unit_vectors(vectors: Vectors) -> Vectors:
    """Scale vectors to length 1: float32 ``[N, D]``."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def nearest_neighbors(
    vectors: Vectors, queries: Indices, candidates: Indices, k: int = NEIGHBORS
) -> Neighbors:
    """Find the nearest candidates of each query.

    Args:
        vectors: float32 ``[N, D]``, unit vectors.
        queries: int64 ``[Q]``, positions in ``vectors``.
        candidates: int64 ``[M]``, positions in ``vectors``.
        k: Neighbors per query, at most M - 1.

    Example:
        >>> vectors = unit_vectors(np.array([[1, 0], [1, 0.1], [0, 1]], np.float32))
        >>> nearest_neighbors(vectors, np.arange(3), np.arange(3), k=1).positions.ravel().tolist()
        [1, 0, 1]
    """
    k = min(k, len(candidates) - 1)
    pool = torch.from_numpy(np.ascontiguousarray(vectors[candidates]))
    place = np.full(len(vectors), -1, dtype=np.int64)
    place[candidates] = np.arange(len(candidates))
    found, distances = [], []
    for start in range(0, len(queries), _BATCH):
        rows = queries[start : start + _BATCH]
        similarities = torch.from_numpy(np.ascontiguousarray(vectors[rows])) @ pool.T
        own = place[rows]
        inside = np.flatnonzero(own >= 0)
        similarities[torch.from_numpy(inside), torch.from_numpy(own[inside])] = -2.0
        nearest = similarities.topk(k, dim=1)
        found.append(candidates[nearest.indices.numpy()])
        distances.append((2 - 2 * nearest.values.double()).clamp(min=0).sqrt().numpy())
    return Neighbors(queries, np.concatenate(found), np.concatenate(distances))
