"""Where classes lie in the reference embedding: which look alike, and which images look like several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.subsets import first_of_each_class

if TYPE_CHECKING:
    from distillab.modalities.embedding import Embedding

Cosines = npt.NDArray[np.float64]

IMAGES = 5_000  # that classes are placed by, at most, and at least FEWEST a class
FEWEST = 10
_DRAW = 0xC1A55


@dataclass(frozen=True, eq=False)
class ClassCentroids:
    """The mean direction of each class, in the embedding that its images gave.

    Attributes:
        embedding: images to vectors.
        centroids: float64 ``[K, D]`` of length 1, in the order of ``classes``.
        classes: K names.
        spread: the standard deviation, over the images that gave them, of the margins of
            :func:`nearest_other`.
    """

    embedding: Embedding
    centroids: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    spread: float

    def cosines(self, images: Examples) -> Cosines:
        """How near each image is to each class: float64 ``[N, K]`` in [-1, 1]. Images are looked at once."""
        return _directions_of(self.embedding, _Known(images.input_digest, images)) @ self.centroids.T

    def of(self, classes: Sequence[str], where: str) -> ClassCentroids:
        """Those of some classes, by name. Raises RequestError for a class that is not known."""
        if missing := [name for name in classes if name not in self.classes]:
            raise RequestError(
                f"class {missing[0]!r} is not a class of the training images as read",
                where=where,
                allowed="factors that make other classes written after this one",
            )
        places = [self.classes.index(name) for name in classes]
        return ClassCentroids(self.embedding, self.centroids[places], tuple(classes), self.spread)

    @property
    def similarity(self) -> Cosines:
        """Cosines between the classes, float64 ``[K, K]``."""
        return self.centroids @ self.centroids.T


def class_centroids(images: Examples) -> ClassCentroids:
    """The classes of ``images``, placed by at most :data:`IMAGES` of them, drawn by id. Kept by content."""
    return _placed(_Known(images.digest, images))


@dataclass(frozen=True)
class _Known:
    digest: str
    images: Examples = field(compare=False)


@lru_cache(maxsize=16)
def _placed(known: _Known) -> ClassCentroids:
    from distillab.modalities.embedding import (
        fit_embedding,  # torch is imported only where images are looked at
    )

    images = known.images
    sample = first_of_each_class(images, _DRAW, max(FEWEST, IMAGES // len(images.classes)))
    embedding = fit_embedding(sample)
    vectors = _directions(embedding.vectors(sample))
    sums = np.zeros((len(images.classes), vectors.shape[1]))
    np.add.at(sums, sample.labels, vectors)
    centroids = _directions(sums)
    _, margins = nearest_other(vectors @ centroids.T, sample.labels)
    return ClassCentroids(embedding, centroids, images.classes, max(float(margins.std()), 1e-9))


@lru_cache(maxsize=16)
def _directions_of(embedding: Embedding, known: _Known) -> npt.NDArray[np.float64]:
    return _directions(embedding.vectors(known.images))


def nearest_other(cosines: Cosines, labels: Indices) -> tuple[Indices, npt.NDArray[np.float64]]:
    """The nearest class that is not an image's own, int64 ``[N]``, and how much nearer its own is, float64
    ``[N]``, below 0 where the other is nearer."""
    rows = np.arange(len(labels))
    own = cosines[rows, labels]
    rest = cosines.copy()
    rest[rows, labels] = -np.inf
    others = rest.argmax(axis=1).astype(np.int64)
    return others, own - rest[rows, others]


def _directions(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Vectors ``[N, D]`` at length 1; those of no length stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)
