"""Text as a modality."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.examples import Examples, Items, ItemShape
from distillab.data.originals import Original
from distillab.modalities.modality import Modality, Preview, modality
from distillab.modalities.text.decoding import text_of
from distillab.modalities.text.views import CharacterDrop, CharacterSwap
from distillab.modalities.text.vocabulary import CharacterIds, vocabulary_of
from distillab.modalities.views.operation import Operation
from distillab.modalities.views.written import WrittenViews, written_chain

TEXT = "text"
_CELL = 4  # pixels per character in the picture of a text


@modality(TEXT)
class TextModality(Modality):
    """Text: characters in int32, a vocabulary of the training split, dropped and swapped characters.

    Example:
        >>> TextModality().views("auto", (1, 1, 32)).label
        'character_drop, character_swap'
    """

    embedding: ClassVar[str] = "characters"
    is_exportable: ClassVar[bool] = False

    def statistics(self, examples: Examples) -> ChannelStatistics:
        """Return the vocabulary and the frequencies of its characters, float32 ``[V]`` each."""
        return vocabulary_of(examples)

    def normalization(self, statistics: ChannelStatistics) -> CharacterIds:
        """Return the map from characters to their numbers in a vocabulary."""
        return CharacterIds(*statistics)

    def usual_views(self, shape: ItemShape) -> WrittenViews:
        """Return dropped and swapped characters."""
        return written_chain([CharacterDrop(), CharacterSwap()])

    def strong_operation(self) -> Operation:
        """Return the dropping of three times as many characters as usual."""
        return CharacterDrop(share=0.3)

    def describe(self, shape: ItemShape) -> str:
        """Return the length, such as ``32 characters``."""
        return f"{shape[2]} characters"

    def preview(self, item: Items, original: Original | None = None) -> Preview:
        """Return the text, and a picture with one gray cell per character."""
        points = np.asarray(item).reshape(1, 1, -1)
        gray = np.where(points > 0, 64 + points % 160, 255).astype(np.uint8)
        return Preview(gray.repeat(_CELL, axis=1).repeat(_CELL, axis=2), text=text_of(points))
