"""The contract of an embedding, and the entry points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.randomness import random_bits
from distillab.errors import RequestError
from distillab.modalities.embedding.principal import Vectors
from distillab.modalities.modality import modality_of
from distillab.registry import Registry

DIMENSIONS = 128
FITTED_ON = 8_000  # examples at most; axes of more are the same axes
_BATCH_VALUES = 2**22  # values per batch: small batches stay in the caches of a CPU
_DRAW = 0x5EED


class Embedding(ABC):
    """Vectors for examples, by a map that was learned from examples alone: no label, no teacher.

    Subclasses live one per file and are registered. The first line of their docstring says what they are.

    Attributes:
        modality: The modality whose examples it accepts.

    Example:
        >>> embeddings["spectra"].modality
        'audio'
    """

    modality: ClassVar[str] = IMAGE

    @classmethod
    @abstractmethod
    def fit(cls, examples: Examples, dimensions: int) -> Embedding:
        """Return the embedding fitted on some examples; the same examples, in any order, give the same one.

        Raises:
            RequestError: A package that it needs is not installed.
        """

    @classmethod
    def installed(cls) -> bool:
        """Return True if the packages that it needs are installed."""
        return True

    @abstractmethod
    def vectors(self, examples: Examples) -> Vectors:
        """Return float32 ``[N, D]``, one row per example, computed batch by batch."""


embeddings: Registry[type[Embedding]] = Registry("embedding")
"""All embeddings, by name."""


def fit_embedding(examples: Examples, *, dimensions: int = DIMENSIONS, kind: str | None = None) -> Embedding:
    """Return a registered embedding fitted on some examples.

    Args:
        examples: The examples that it is learned from.
        dimensions: Number of dimensions at most.
        kind: Name of an embedding; None is the usual one of the modality.

    Raises:
        RequestError: The kind is unknown, is for another modality, or its package is not installed.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
        >>> images = Examples.of(pixels, [0, 1] * 10, ("cat", "dog"))
        >>> fit_embedding(images, dimensions=4).vectors(images.select([3])).shape
        (1, 4)
    """
    kind = kind or modality_of(examples).embedding
    chosen = embeddings[kind]
    if chosen.modality != examples.modality:
        raise RequestError(
            f"embedding {kind!r} is for {chosen.modality} examples, and these are {examples.modality}",
            allowed=", ".join(name for name in embeddings if embeddings[name].modality == examples.modality),
        )
    return chosen.fit(examples, dimensions)


def embed(
    examples: Examples,
    *,
    dimensions: int = DIMENSIONS,
    fitted_on: Examples | None = None,
    kind: str | None = None,
) -> Vectors:
    """Return vectors that describe examples: float32 ``[N, D]``, in the order of the examples.

    Deterministic, offline, and independent of labels and teachers. Near vectors belong to examples that
    resemble each other. Angles (cosines) compare best; the mean squared length over ``fitted_on`` is 1.

    Args:
        examples: N examples; images may have any size, with 1 or 3 channels.
        dimensions: D; less if ``fitted_on`` has fewer examples than that.
        fitted_on: The examples the embedding is learned from, by default ``examples``. Two sets can be
            compared only in an embedding fitted on one set.
        kind: Name of an embedding, such as ``patches``; None is the usual one of the modality.

    Raises:
        RequestError: As :func:`fit_embedding`.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
        >>> images = Examples.of(pixels, [0, 1] * 10, ("cat", "dog"))
        >>> embed(images, dimensions=4).shape
        (20, 4)
    """
    fitted = fit_embedding(examples if fitted_on is None else fitted_on, dimensions=dimensions, kind=kind)
    return fitted.vectors(examples)


def fitting_sample(examples: Examples, most: int = FITTED_ON) -> Examples:
    """Return at most ``most`` examples, drawn and ordered by their ids: the same whatever their order.

    Example:
        >>> images = Examples.of(np.zeros((20, 1, 8, 8), np.uint8), [0, 1] * 10, ("cat", "dog"))
        >>> len(fitting_sample(images, most=5))
        5
    """
    drawn = np.argsort(random_bits(examples.ids, _DRAW), kind="stable")[:most]
    return examples.select(drawn[np.argsort(examples.ids[drawn], kind="stable")])


def batches(examples: Examples) -> Iterator[Indices]:
    """Yield positions batch by batch; batches are larger where items are smaller.

    Example:
        >>> images = Examples.of(np.zeros((600, 1, 8, 8), np.uint8), [0, 1] * 300, ("cat", "dog"))
        >>> [len(positions) for positions in batches(images)]
        [512, 88]
    """
    size = int(np.clip(_BATCH_VALUES // int(np.prod(examples.shape)), 16, 512))
    return (np.arange(start, min(start + size, len(examples))) for start in range(0, len(examples), size))
