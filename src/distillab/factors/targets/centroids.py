"""Class centroids in the reference embedding: which classes, and which examples, resemble which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.subsets import first_of_each_class
from distillab.factors.targets.cache_key import CacheKey

if TYPE_CHECKING:
    from distillab.modalities.embedding import Embedding

Cosines = npt.NDArray[np.float64]

_MOST_EXAMPLES = 5_000  # over all classes, but at least _FEWEST_PER_CLASS of each
_FEWEST_PER_CLASS = 10
_DRAW = 0xC1A55


@dataclass(frozen=True, eq=False)
class ClassCentroids:
    """The mean direction of each class in an embedding fitted to its examples.

    Attributes:
        embedding: Maps examples to vectors.
        centroids: float64 ``[K, D]`` of length 1, in the order of ``classes``.
        classes: K names.
        spread: The standard deviation of the margins of :func:`nearest_other` over the fitted examples.
    """

    embedding: Embedding
    centroids: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    spread: float

    def cosines(self, examples: Examples) -> Cosines:
        """Return the cosine of each example with each class, float64 ``[N, K]``. Embeddings are cached."""
        return _directions_of(self.embedding, CacheKey.of_inputs(examples)) @ self.centroids.T

    def of(self, classes: Sequence[str], where: str) -> ClassCentroids:
        """Return the centroids of some classes, by name. Raises RequestError for an unknown class."""
        if missing := [name for name in classes if name not in self.classes]:
            raise RequestError(
                f"class {missing[0]!r} is not a class of the training examples as read",
                where=where,
                allowed="factors that make other classes written after this one",
            )
        places = [self.classes.index(name) for name in classes]
        return ClassCentroids(self.embedding, self.centroids[places], tuple(classes), self.spread)

    @property
    def similarity(self) -> Cosines:
        """Cosines between the classes, float64 ``[K, K]``."""
        return self.centroids @ self.centroids.T


def class_centroids(examples: Examples) -> ClassCentroids:
    """Return the centroids of the classes of ``examples``, from at most 5,000 of them. Cached by digest."""
    return _fitted(CacheKey.of(examples))


@lru_cache(maxsize=16)
def _fitted(key: CacheKey) -> ClassCentroids:
    from distillab.modalities.embedding import fit_embedding  # imports torch

    examples = key.examples
    each = max(_FEWEST_PER_CLASS, _MOST_EXAMPLES // len(examples.classes))
    sample = first_of_each_class(examples, _DRAW, each)
    embedding = fit_embedding(sample)
    vectors = _directions(embedding.vectors(sample))
    sums = np.zeros((len(examples.classes), vectors.shape[1]))
    np.add.at(sums, sample.labels, vectors)
    centroids = _directions(sums)
    _, margins = nearest_other(vectors @ centroids.T, sample.labels)
    return ClassCentroids(embedding, centroids, examples.classes, max(float(margins.std()), 1e-9))


@lru_cache(maxsize=16)
def _directions_of(embedding: Embedding, key: CacheKey) -> npt.NDArray[np.float64]:
    return _directions(embedding.vectors(key.examples))


def nearest_other(cosines: Cosines, labels: Indices) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Return the nearest class that is not an example's own, and the margin by which its own is nearer.

    Args:
        cosines: float64 ``[N, K]``.
        labels: int64 ``[N]``.

    Returns:
        The nearest other class, int64 ``[N]``, and the margin, float64 ``[N]``, negative where the other
        class is nearer.
    """
    rows = np.arange(len(labels))
    own = cosines[rows, labels]
    rest = cosines.copy()
    rest[rows, labels] = -np.inf
    others = rest.argmax(axis=1).astype(np.int64)
    return others, own - rest[rows, others]


def _directions(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Scale vectors ``[N, D]`` to length 1; vectors of length 0 stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)
