"""The contract of an embedding, and the one call that most need: images to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities.image.embedding.principal import Vectors
from distillab.registry import Registry

DIMENSIONS = 128
FITTED_ON = 8_000  # images at most; axes of more are the same axes
BATCH_PIXELS = 2**22  # values a batch: small batches stay in the caches of a CPU
_DRAW = 0x5EED


class Embedding(ABC):
    """Vectors for images, by a map that was learned from images alone: no label, no teacher.

    Subclasses live one a file and are registered. The first line of their docstring says what they are.
    """

    @classmethod
    @abstractmethod
    def fit(cls, images: Examples, dimensions: int) -> Embedding:
        """The embedding that suits ``images``. The same images, in any order, give the same one.

        Raises:
            RequestError: what it needs is not installed.
        """

    @abstractmethod
    def vectors(self, images: Examples) -> Vectors:
        """float32 ``[N, D]``, one row an image, made batch by batch. Any number of pixels and channels."""


embeddings: Registry[type[Embedding]] = Registry("embedding")


def fit_embedding(images: Examples, *, dimensions: int = DIMENSIONS, kind: str = "patches") -> Embedding:
    """A registered embedding fitted on ``images``. Raises RequestError for an unknown kind."""
    return embeddings[kind].fit(images, dimensions)


def embed(
    images: Examples,
    *,
    dimensions: int = DIMENSIONS,
    fitted_on: Examples | None = None,
    kind: str = "patches",
) -> Vectors:
    """What images are like: float32 ``[N, D]``, in the order of ``images``.

    Deterministic, offline, and independent of labels and teachers. Near vectors are images that look alike.
    Angles (cosines) compare images best; the mean squared length over ``fitted_on`` is 1.

    Args:
        images: N images of any size, with 1 or 3 channels.
        dimensions: D; less if ``fitted_on`` has fewer images than that.
        fitted_on: the images the embedding is learned from, by default ``images``. Two sets can be compared
            only in an embedding fitted on one set.
        kind: a registered embedding, such as ``patches``.

    Raises:
        RequestError: an unknown kind, or its package is not installed.
    """
    fitted = fit_embedding(images if fitted_on is None else fitted_on, dimensions=dimensions, kind=kind)
    return fitted.vectors(images)


def fitting_sample(images: Examples, most: int = FITTED_ON) -> Examples:
    """At most ``most`` of the images, drawn and ordered by their ids: the same whatever their order."""
    drawn = np.argsort(random_bits(images.ids, _DRAW), kind="stable")[:most]
    return images.select(drawn[np.argsort(images.ids[drawn], kind="stable")])


def batches(images: Examples) -> Iterator[Indices]:
    """Positions, a batch at a time; batches are as large as their pixels are few."""
    size = int(np.clip(BATCH_PIXELS // int(np.prod(images.shape)), 16, 512))
    return (np.arange(start, min(start + size, len(images))) for start in range(0, len(images), size))
