"""Embeddings: vectors that describe examples, independent of labels and of any teacher."""

from distillab.modalities.embedding.embedding import (
    Embedding,
    batches,
    embed,
    embeddings,
    fit_embedding,
    fitting_sample,
)
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

__all__ = [
    "Embedding",
    "PrincipalAxes",
    "Vectors",
    "batches",
    "embed",
    "embeddings",
    "fit_embedding",
    "fitting_sample",
]
