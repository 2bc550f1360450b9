"""Modalities: what an example is, and how it is decoded, normalized, augmented, embedded and shown."""

from distillab.modalities import audio, image, text
from distillab.modalities.decoded import Decoded
from distillab.modalities.modality import (
    Modality,
    Preview,
    modalities,
    modality,
    modality_of,
    normalization_of,
    require_exportable,
)
from distillab.modalities.normalization import Normalization

__all__ = [
    "Decoded",
    "Modality",
    "Normalization",
    "Preview",
    "audio",
    "image",
    "modalities",
    "modality",
    "modality_of",
    "normalization_of",
    "require_exportable",
    "text",
]
