"""Preview: a spectrogram as a picture, and its waveform as a WAV file."""

from __future__ import annotations

import wave
from io import BytesIO

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Items

# Anchors of the color map viridis (Smith and van der Walt, 2015), from low to high.
COLORS = np.array(
    [
        *[(68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142)],
        *[(31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37)],
    ],
    dtype=np.float64,
)
SMALLEST_HEIGHT = 48  # pixels; smaller spectrograms are enlarged by a whole number
PLAYABLE_RATE = 8000  # Hz; browsers refuse to play much lower rates


def picture_of(item: Items) -> npt.NDArray[np.uint8]:
    """Return a spectrogram as a picture, uint8 ``[3, H, W]``: low bands at the bottom, colors by value.

    Args:
        item: float ``[C, F, T]``; further channels (derivatives) are drawn below the first.

    Example:
        >>> picture_of(np.zeros((1, 40, 101), np.float16)).shape
        (3, 80, 202)
    """
    panels = [_scaled(channel.astype(np.float64))[::-1] for channel in item]
    values = np.concatenate(panels)
    levels = np.linspace(0, 1, len(COLORS))
    colored = np.stack([np.interp(values, levels, COLORS[:, color]) for color in range(3)])
    enlarged = -(-SMALLEST_HEIGHT // colored.shape[1])
    return np.rint(colored).astype(np.uint8).repeat(enlarged, axis=1).repeat(enlarged, axis=2)


def _scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale to [0, 1]."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def wav_of(samples: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """Return a mono WAV file of 16-bit samples, int16 ``[S]``.

    Rates that browsers do not play are multiplied by a whole number.

    Example:
        >>> len(wav_of(np.zeros(8000, np.int16), 8000))
        16044
    """
    if sample_rate < PLAYABLE_RATE:
        from scipy.signal import resample_poly  # slow to import

        factor = -(-PLAYABLE_RATE // sample_rate)
        finer = resample_poly(samples.astype(np.float64), factor, 1)
        samples, sample_rate = np.clip(np.rint(finer), -32768, 32767).astype(np.int16), factor * sample_rate
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
