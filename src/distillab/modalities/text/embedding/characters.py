"""The ``characters`` embedding: which characters a text has, on principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distillab.data.examples import Examples
from distillab.modalities.embedding.embedding import Embedding, batches, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors
from distillab.modalities.text.vocabulary import vocabulary_of

_COUNTED = 1024  # most frequent characters


@embeddings.register("characters")
@dataclass(frozen=True, eq=False)
class CharacterEmbedding(Embedding):
    """How often a text has each of the most frequent characters (as logarithms), on principal axes.

    Attributes:
        characters: The counted code points, in ascending order.
        axes: The map from counts to D dimensions.

    Example:
        >>> items = np.random.default_rng(0).integers(97, 123, (20, 1, 1, 30)).astype(np.int32)
        >>> texts = Examples.of(items, [0, 1] * 10, ("yes", "no"), modality="text")
        >>> CharacterEmbedding.fit(texts, 5).vectors(texts).shape
        (20, 5)
    """

    modality: ClassVar[str] = "text"

    characters: tuple[int, ...]
    axes: PrincipalAxes

    @classmethod
    def fit(cls, examples: Examples, dimensions: int) -> CharacterEmbedding:
        """Return the embedding fitted on some texts."""
        sample = fitting_sample(examples)
        points, _ = vocabulary_of(sample)
        characters = tuple(sorted(points[:_COUNTED].astype(int).tolist()))
        return cls(characters, PrincipalAxes.of(_counts(sample, characters), dimensions))

    def vectors(self, examples: Examples) -> Vectors:
        """Return float32 ``[N, D]``, one row per text."""
        return self.axes(_counts(examples, self.characters))


def _counts(texts: Examples, characters: tuple[int, ...]) -> Vectors:
    """Return log(1 + count) of each character in each text, float32 ``[N, len(characters)]``."""
    known = np.array(characters, dtype=np.int64)
    found = np.zeros((len(texts), len(known)), dtype=np.float32)
    row = 0
    for positions in batches(texts):
        for item in texts.items(positions):
            points, counts = np.unique(item, return_counts=True)
            mine = np.isin(points, known)
            found[row, np.searchsorted(known, points[mine])] = counts[mine]
            row += 1
    return np.log1p(found)
