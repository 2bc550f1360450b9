"""Reference embeddings: what images are like, as numbers that no teacher has a say in."""

from distillab.modalities.image.embedding import imagenet, patches
from distillab.modalities.image.embedding.embedding import Embedding, embed, embeddings, fit_embedding

__all__ = ["Embedding", "embed", "embeddings", "fit_embedding", "imagenet", "patches"]
