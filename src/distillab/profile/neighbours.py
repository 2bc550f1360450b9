"""Nearest neighbours among the vectors of an embedding, by brute force and the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distillab.data.examples import Indices
from distillab.modalities.image.embedding.principal import Vectors

NEIGHBOURS = 12
CHUNK = 64  # images a batch: with 50,000 others, 13 MB of similarities


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The K nearest images of each of Q images, nearest first, itself left out.

    Attributes:
        queries: int64 ``[Q]``, positions of the images.
        positions: int64 ``[Q, K]``.
        distances: float64 ``[Q, K]``, Euclidean between unit vectors.
    """

    queries: Indices
    positions: Indices
    distances: npt.NDArray[np.float64]


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1, float32 ``[N, D]``."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def nearest(vectors: Vectors, queries: Indices, among: Indices, k: int = NEIGHBOURS) -> Neighbours:
    """The nearest of ``among`` to each of ``queries``, both positions in unit vectors, float32 ``[N, D]``."""
    k = min(k, len(among) - 1)
    pool = torch.from_numpy(np.ascontiguousarray(vectors[among]))
    place = np.full(len(vectors), -1, dtype=np.int64)
    place[among] = np.arange(len(among))
    found, distances = [], []
    for start in range(0, len(queries), CHUNK):
        rows = queries[start : start + CHUNK]
        similar = torch.from_numpy(np.ascontiguousarray(vectors[rows])) @ pool.T
        own = place[rows]
        inside = np.flatnonzero(own >= 0)
        similar[torch.from_numpy(inside), torch.from_numpy(own[inside])] = -2.0
        near = similar.topk(k, dim=1)
        found.append(among[near.indices.numpy()])
        distances.append((2 - 2 * near.values.double()).clamp(min=0).sqrt().numpy())
    return Neighbours(queries, np.concatenate(found), np.concatenate(distances))
