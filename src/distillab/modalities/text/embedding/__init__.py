"""The embedding of texts."""

from distillab.modalities.text.embedding.characters import CharacterEmbedding

__all__ = ["CharacterEmbedding"]
