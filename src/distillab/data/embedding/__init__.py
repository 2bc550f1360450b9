"""Reference embeddings: what images are like, as numbers that no teacher has a say in."""

from distillab.data.embedding import imagenet, patches
from distillab.data.embedding.embedding import Embedding, embed, embeddings, fit_embedding

__all__ = ["Embedding", "embed", "embeddings", "fit_embedding", "imagenet", "patches"]
