"""Features: log-mel spectrograms and mel-frequency cepstral coefficients of waveforms."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.errors import RequestError
from distillab.modalities.audio.settings import AudioSettings

Features = npt.NDArray[np.float32]
"""float32 ``[N, C, F, T]``: channels, bands or coefficients, frames."""

DYNAMIC_RANGE = 80.0
"""Power is clipped this many dB below the largest of a recording, so that silence is no outlier."""
SMALLEST_POWER = 1e-10
DELTA_WIDTH = 9  # frames that a derivative is estimated from
MOST_PADDING = 64  # a window is zero-padded to at most so many times its length


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """Computes the features of waveforms of one sample rate.

    The short-time Fourier transform uses Hann windows centered on multiples of the hop, the waveform being
    padded with zeros. The mel bands are triangles of unit area on the mel scale of Slaney, Auditory Toolbox,
    1998; the cepstral coefficients are the orthonormal DCT-II of the log-mel spectrogram (Davis and
    Mermelstein, IEEE TASSP 1980, equation 1), the derivatives Savitzky-Golay filters over 9 frames.

    Windows are zero-padded until every mel band holds a frequency of the transform: at low sample rates a
    band is narrower than the distance of frequencies.

    Attributes:
        settings: Kind of features and their parameters.
        sample_rate: In Hz.
        n_fft: Length of the padded windows, in samples.
        filters: float32 ``[n_mels, 1 + n_fft / 2]``, the mel bands.

    Example:
        >>> settings = AudioSettings(n_mels=16, features="mfcc", n_mfcc=13, deltas=1)
        >>> extractor = FeatureExtractor.of(settings, 8000)
        >>> extractor(np.zeros((2, 8000), np.float32)).shape
        (2, 2, 13, 101)
    """

    settings: AudioSettings
    sample_rate: int
    n_fft: int
    filters: npt.NDArray[np.float32]

    @classmethod
    def of(cls, settings: AudioSettings, sample_rate: int) -> FeatureExtractor:
        """Return the extractor for a sample rate in Hz.

        Raises:
            RequestError: The settings do not suit the sample rate.
        """
        _check(settings, sample_rate)
        shortest = 2 ** int(np.ceil(np.log2(max(2, round(settings.window * sample_rate)))))
        n_fft = shortest
        while n_fft <= MOST_PADDING * shortest:
            filters = _mel_filters(settings, sample_rate, n_fft)
            if (filters > 0).any(axis=1).all():
                return cls(settings, sample_rate, n_fft, filters)
            n_fft *= 2
        raise RequestError(
            f"{settings.n_mels} mel bands are too narrow for windows of {settings.window} s",
            where="n_mels",
            allowed="fewer mel bands, or a longer `window`",
        )

    def __call__(self, waveforms: npt.NDArray[np.float32]) -> Features:
        """Return the features of waveforms, float32 ``[N, S]``.

        Raises:
            RequestError: Derivatives need more frames than there are.
        """
        import librosa

        features = self.log_mel(waveforms)
        if self.settings.features == "mfcc":
            features = librosa.feature.mfcc(S=features, n_mfcc=self.settings.n_mfcc, norm="ortho")
        if self.settings.deltas and features.shape[-1] < DELTA_WIDTH:
            raise RequestError(
                f"derivatives need {DELTA_WIDTH} frames, and the recordings have {features.shape[-1]}",
                where="deltas",
                allowed="longer recordings, a shorter `hop`, or `deltas: 0`",
            )
        orders = [
            librosa.feature.delta(features, width=DELTA_WIDTH, order=order)
            for order in range(1, self.settings.deltas + 1)
        ]
        return np.stack([features, *orders], axis=1).astype(np.float32)

    def log_mel(self, waveforms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the power in mel bands in dB, float32 ``[N, n_mels, T]``, of waveforms ``[N, S]``."""
        import librosa

        spectrum = librosa.stft(
            waveforms,
            n_fft=self.n_fft,
            hop_length=max(1, round(self.settings.hop * self.sample_rate)),
            win_length=max(2, round(self.settings.window * self.sample_rate)),
            window="hann",
            center=True,
            pad_mode="constant",
        )
        power = self.filters @ (np.abs(spectrum) ** 2)
        decibels = 10 * np.log10(np.maximum(power, SMALLEST_POWER))
        loudest = decibels.max(axis=(1, 2), keepdims=True)
        clipped: npt.NDArray[np.float32] = np.maximum(decibels, loudest - DYNAMIC_RANGE).astype(np.float32)
        return clipped


def _mel_filters(settings: AudioSettings, sample_rate: int, n_fft: int) -> npt.NDArray[np.float32]:
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters")  # then the window is padded further
        filters: npt.NDArray[np.float32] = librosa.filters.mel(
            sr=sample_rate,
            n_fft=n_fft,
            n_mels=settings.n_mels,
            fmin=settings.fmin,
            fmax=settings.fmax,
        )
    return filters


def _check(settings: AudioSettings, sample_rate: int) -> None:
    nyquist = sample_rate / 2
    highest = nyquist if settings.fmax is None else settings.fmax
    if not settings.fmin < highest <= nyquist:
        raise RequestError(
            f"mel bands from {settings.fmin:g} to {highest:g} Hz at a sample rate of {sample_rate} Hz",
            where="fmin" if settings.fmax is None else "fmax",
            allowed=f"fmin below fmax, and fmax at most {nyquist:g}",
        )
    if settings.features == "mfcc" and settings.n_mfcc > settings.n_mels:
        raise RequestError(
            f"{settings.n_mfcc} coefficients of {settings.n_mels} mel bands",
            where="n_mfcc",
            allowed=f"at most {settings.n_mels}",
        )
