"""Embeddings of audio."""

from distillab.modalities.audio.embedding.spectra import SpectralEmbedding

__all__ = ["SpectralEmbedding"]
