"""Noise on the values of a spectrogram."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits
from distillab.modalities.views.operation import Operation, as_stored, operation, per_example

SUMMED = 4  # 16-bit numbers whose sum is one draw: nearly normal


@operation("noise")
class FeatureNoise(Operation):
    """Noise added to every value, with a standard deviation drawn uniformly from 0 to ``strength``.

    A draw is the sum of four uniform numbers, which is nearly normal (Irwin-Hall) and the same everywhere.

    Attributes:
        strength: Largest standard deviation, in units of the features: dB for log-mel spectrograms.

    Example:
        >>> silence = torch.zeros(2, 1, 40, 101, dtype=torch.float16)
        >>> FeatureNoise().render(silence, np.arange(2), epoch=0, seed=0).std() < 3
        tensor(True)
    """

    modality: ClassVar[str | None] = "audio"

    strength: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return noisy spectrograms, ``[N, C, F, T]``."""
        state = self.bits("noise", ids, epoch, seed).astype(np.int64)
        bits = random_bits(state[:, None] + np.arange(int(np.prod(items.shape[1:]))))
        parts = bits.view("<u2").reshape(*bits.shape, SUMMED).sum(axis=-1, dtype=np.float32)
        draws = (parts / 65536 - SUMMED / 2) * np.float32(np.sqrt(12 / SUMMED))
        noise = torch.from_numpy(draws.reshape(items.shape)).to(items.device)
        deviation = per_example(self.strength * self.uniform("strength", ids, epoch, seed), items)
        return as_stored(items.float() + deviation * noise, items)
