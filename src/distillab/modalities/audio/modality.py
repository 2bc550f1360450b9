"""Audio as a modality."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.examples import Examples, Items, ItemShape
from distillab.data.originals import Original
from distillab.modalities.audio.decoding import SAMPLE_RATE
from distillab.modalities.audio.normalization import BandNormalization, statistics_of_bands
from distillab.modalities.audio.preview import picture_of, wav_of
from distillab.modalities.audio.views import SpecAugment, TimeShift
from distillab.modalities.modality import Modality, Preview, modality
from distillab.modalities.views.operation import Operation
from distillab.modalities.views.written import WrittenViews, written_chain

AUDIO = "audio"


@modality(AUDIO)
class AudioModality(Modality):
    """Audio: log-mel or MFCC spectrograms in float16, per-band normalization, SpecAugment and time shifts.

    Example:
        >>> AudioModality().views("auto", (1, 40, 101)).label
        'time_shift, spec_augment'
    """

    embedding: ClassVar[str] = "spectra"

    def statistics(self, examples: Examples) -> ChannelStatistics:
        """Return mean and standard deviation per channel and band, float32 ``[C, F]`` each."""
        return statistics_of_bands(examples)

    def normalization(self, statistics: ChannelStatistics) -> BandNormalization:
        """Return the normalization by given statistics of bands."""
        return BandNormalization(*statistics)

    def usual_views(self, shape: ItemShape) -> WrittenViews:
        """Return a time shift and SpecAugment."""
        return written_chain([TimeShift(), SpecAugment()])

    def strong_operation(self) -> Operation:
        """Return SpecAugment with twice as many masks as usual."""
        return SpecAugment(band_masks=4, frame_masks=4)

    def describe(self, shape: ItemShape) -> str:
        """Return bands, frames and channels, such as ``40 bands x 101 frames``."""
        channels, bands, frames = shape
        more = f" in {channels} channels" if channels > 1 else ""
        return f"{bands} bands x {frames} frames{more}"

    def preview(self, item: Items, original: Original | None = None) -> Preview:
        """Return the spectrogram as a picture, and the waveform if it is kept."""
        sound = None
        if original is not None:
            sound = wav_of(original.values.astype(np.int16), int(original.facts[SAMPLE_RATE]))
        return Preview(picture_of(np.asarray(item)), sound)
