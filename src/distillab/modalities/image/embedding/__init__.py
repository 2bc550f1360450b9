"""Embeddings of images."""

from distillab.modalities.image.embedding.imagenet import ImageNetEmbedding
from distillab.modalities.image.embedding.patches import PatchEmbedding

__all__ = ["ImageNetEmbedding", "PatchEmbedding"]
