"""Text: characters as their code points: decoding, vocabulary, augmentation, embedding, preview."""

from distillab.modalities.text import embedding, views
from distillab.modalities.text.decoding import LONGEST, encode_texts, text_of
from distillab.modalities.text.modality import TEXT, TextModality
from distillab.modalities.text.vocabulary import (
    PADDING,
    UNKNOWN,
    VOCABULARY,
    CharacterIds,
    vocabulary_of,
)

__all__ = [
    "LONGEST",
    "PADDING",
    "TEXT",
    "UNKNOWN",
    "VOCABULARY",
    "CharacterIds",
    "TextModality",
    "embedding",
    "encode_texts",
    "text_of",
    "views",
    "vocabulary_of",
]
