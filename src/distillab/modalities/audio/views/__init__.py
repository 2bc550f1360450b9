"""View operations of audio: they change spectrograms."""

from distillab.modalities.audio.views.noise import Noise
from distillab.modalities.audio.views.spec_augment import SpecAugment
from distillab.modalities.audio.views.time_shift import TimeShift

__all__ = ["Noise", "SpecAugment", "TimeShift"]
