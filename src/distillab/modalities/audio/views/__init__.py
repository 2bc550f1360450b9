"""View operations of audio: they change spectrograms."""

from distillab.modalities.audio.views.noise import FeatureNoise
from distillab.modalities.audio.views.spec_augment import SpecAugment
from distillab.modalities.audio.views.time_shift import TimeShift

__all__ = ["FeatureNoise", "SpecAugment", "TimeShift"]
