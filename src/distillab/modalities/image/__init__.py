"""Images: decoding, normalization, augmentation, embedding, synthetic images."""

from distillab.modalities.image import embedding, views
from distillab.modalities.image.modality import ImageModality
from distillab.modalities.image.normalization import PixelNormalization

__all__ = ["ImageModality", "PixelNormalization", "embedding", "views"]
