"""Audio settings: how recordings become items, as the keys of a source."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AudioSettings(BaseModel):
    """How recordings are decoded, cut and turned into features.

    Attributes:
        sample_rate: Rate in Hz that recordings are resampled to, or None for that of the files, which must
            then be the same for all.
        seconds: Length that recordings are cut or padded to, or None to keep them as they are, which must
            then be equally long.
        crop: Which part of a longer recording is kept: its ``start``, its ``center``, or a ``random`` part
            that depends on the name of the recording. Shorter recordings are padded with silence at the end,
            on both sides, or at random.
        scale_to_peak: Whether each recording is scaled so that its largest absolute value is 1.
        features: ``logmel``, the power in mel bands in dB, or ``mfcc``, mel-frequency cepstral coefficients.
        n_mels: Number of mel bands.
        n_mfcc: Number of coefficients of ``mfcc``.
        deltas: Up to which order time derivatives are added, as further channels.
        window: Length of a window of the short-time Fourier transform, in seconds.
        hop: Distance of windows, in seconds.
        fmin: Lowest frequency of the mel bands, in Hz.
        fmax: Highest frequency, in Hz, or None for half of the sample rate.

    Example:
        >>> AudioSettings(sample_rate=8000, seconds=1.0, n_mels=40).frames(8000, 8000)
        101
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int | None = Field(default=None, ge=100)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    crop: Literal["start", "center", "random"] = "start"
    scale_to_peak: bool = True
    features: Literal["logmel", "mfcc"] = "logmel"
    n_mels: int = Field(default=64, ge=4, le=512)
    n_mfcc: int = Field(default=20, ge=4, le=512)
    deltas: Literal[0, 1, 2] = 0
    window: float = Field(default=0.025, gt=0, le=1)
    hop: float = Field(default=0.01, gt=0, le=1)
    fmin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    fmax: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def frames(self, samples: int, sample_rate: int) -> int:
        """Return the number of frames of a recording of ``samples`` values."""
        return 1 + samples // max(1, round(self.hop * sample_rate))
