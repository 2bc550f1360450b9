"""What the axes of the spectrograms of a study are."""

from __future__ import annotations

from distillab.modalities.audio import AudioSettings
from distillab.modalities.audio.decoding import SAMPLE_RATE
from distillab.study.folder import StudyFolder


def spectrogram_axes(folder: StudyFolder) -> tuple[str, str] | None:
    """Return the length of the spectrograms, and what their rows are from bottom to top; None without any.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.study.spec.study import parse_study
        >>> small = {"data": {"source": "digits", "classes": 2}, "teacher": {"model": "resnet8"}, "seeds": 1}
        >>> values = {"study": "tiny", "students": "resnet8", "methods": ["kd"], **small}
        >>> spec = parse_study(values, Path(), "study")
        >>> folder = StudyFolder.begin(Path(tempfile.mkdtemp()) / "tiny", spec, torch.device("cpu"))
        >>> spectrogram_axes(folder) is None
        True
    """
    settings = folder.spec.source()
    if not isinstance(settings, AudioSettings):
        return None
    frames, originals = folder.dataset.train.shape[-1], folder.dataset.originals
    seconds = settings.seconds or (frames - 1) * settings.hop
    length = f"{seconds:.3g} s"
    if settings.features == "mfcc":
        return length, "coefficients"
    rate = settings.sample_rate or (originals and int(originals.facts[SAMPLE_RATE]))
    highest = settings.fmax or (rate and rate / 2)
    return length, f"mel, {settings.fmin:.0f}–{highest:.0f} Hz" if highest else "mel bands"
