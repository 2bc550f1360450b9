"""Audio: recordings as spectrograms: decoding, features, normalization, augmentation, embedding, preview."""

from distillab.modalities.audio import embedding, views
from distillab.modalities.audio.decoding import decode_recordings
from distillab.modalities.audio.features import FeatureExtractor
from distillab.modalities.audio.modality import AudioModality
from distillab.modalities.audio.normalization import BandNormalization, statistics_of_bands
from distillab.modalities.audio.settings import AudioSettings
from distillab.modalities.audio.waveforms import (
    EXTENSIONS,
    RawAudio,
    RecordingPart,
    read_waveform,
    recording_seconds,
)

__all__ = [
    "EXTENSIONS",
    "AudioModality",
    "AudioSettings",
    "BandNormalization",
    "FeatureExtractor",
    "RawAudio",
    "RecordingPart",
    "decode_recordings",
    "embedding",
    "read_waveform",
    "recording_seconds",
    "statistics_of_bands",
    "views",
]
