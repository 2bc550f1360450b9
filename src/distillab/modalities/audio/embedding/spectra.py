"""The ``spectra`` embedding: pooled spectrograms on principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distillab.data.examples import Examples, Items
from distillab.modalities.embedding.embedding import Embedding, batches, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

_PARTS = 4  # of a recording, in time


@embeddings.register("spectra")
@dataclass(frozen=True, eq=False)
class SpectralEmbedding(Embedding):
    """Mean of every band in each quarter of the recording, and its standard deviation, on principal axes.

    Attributes:
        axes: The map from pooled features to D dimensions.

    Example:
        >>> items = np.random.default_rng(0).normal(size=(20, 1, 8, 30)).astype(np.float16)
        >>> recordings = Examples.of(items, [0, 1] * 10, ("yes", "no"), modality="audio")
        >>> SpectralEmbedding.fit(recordings, 5).vectors(recordings).shape
        (20, 5)
    """

    modality: ClassVar[str] = "audio"

    axes: PrincipalAxes

    @classmethod
    def fit(cls, examples: Examples, dimensions: int) -> SpectralEmbedding:
        """Return the embedding fitted on some recordings."""
        return cls(PrincipalAxes.of(_features_of(fitting_sample(examples)), dimensions))

    def vectors(self, examples: Examples) -> Vectors:
        """Return float32 ``[N, D]``, one row per recording."""
        return self.axes(_features_of(examples))


def _features_of(examples: Examples) -> Vectors:
    parts = [_pooled(examples.items(rows)) for rows in batches(examples)]
    width = int(np.prod(examples.shape[:2])) * (_PARTS + 1)
    return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)


def _pooled(items: Items) -> Vectors:
    """Return the pooled features of spectrograms, float32 ``[N, C * F * (_PARTS + 1)]``."""
    values = items.astype(np.float32)
    means = [part.mean(axis=3) for part in np.array_split(values, _PARTS, axis=3) if part.shape[3]]
    means += [values.mean(axis=3)] * (_PARTS - len(means))  # of recordings shorter than so many frames
    pooled: Vectors = np.stack([*means, values.std(axis=3)], axis=-1).reshape(len(items), -1)
    return pooled
