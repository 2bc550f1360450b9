"""Normalization of spectrograms, band by band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.examples import Examples
from distillab.modalities.normalization import Normalization
from distillab.modalities.views.layout import to_channels_last

SMALLEST_DEVIATION = 1e-2  # in dB: bands above the bandwidth of a recording are constant
READ_AT_ONCE = 512


def statistics_of_bands(recordings: Examples) -> ChannelStatistics:
    """Return mean and standard deviation of each band over examples and frames, float32 ``[C, F]`` each.

    Example:
        >>> items = np.stack([np.full((1, 4, 9), 3.0), np.full((1, 4, 9), 5.0)]).astype(np.float16)
        >>> recordings = Examples.of(items, [0, 1], ("yes", "no"), modality="audio")
        >>> mean, std = statistics_of_bands(recordings)
        >>> mean.shape, mean[0, 0], std[0, 0]
        ((1, 4), np.float32(4.0), np.float32(1.0))
    """
    sums = np.zeros(recordings.shape[:2])
    squares = np.zeros(recordings.shape[:2])
    for start in range(0, len(recordings), READ_AT_ONCE):
        positions = np.arange(start, min(start + READ_AT_ONCE, len(recordings)))
        batch = recordings.items(positions).astype(np.float64)
        sums += batch.mean(axis=3).sum(axis=0)
        squares += (batch**2).mean(axis=3).sum(axis=0)
    mean = sums / len(recordings)
    std = np.sqrt(np.maximum(squares / len(recordings) - mean**2, 0))
    return mean.astype(np.float32), np.maximum(std, SMALLEST_DEVIATION).astype(np.float32)


@dataclass(frozen=True)
class BandNormalization(Normalization):
    """Mean and standard deviation per channel and band, float32 ``[C, F]`` each.

    Example:
        >>> bands = BandNormalization(np.zeros((1, 2), np.float32), np.array([[1, 2]], np.float32))
        >>> bands(torch.full((1, 1, 2, 1), 4.0)).flatten()
        tensor([4., 2.])
    """

    def __call__(self, items: Tensor) -> Tensor:
        """Normalize spectrograms, float ``[N, C, F, T]``."""
        mean = torch.as_tensor(self.mean, device=items.device)[:, :, None]
        scale = 1.0 / torch.as_tensor(self.std, device=items.device)[:, :, None]
        return to_channels_last((items.float() - mean) * scale)
