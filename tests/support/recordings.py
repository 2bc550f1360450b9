"""Short recordings of tones, whose class is their pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 4000  # Hz
PITCHES = (400, 900)  # Hz, of class 0 and 1


def write_tone(path: Path, frequency: float, seconds: float = 0.25, seed: int = 0) -> None:
    """Write a tone with some noise; the suffix of the path decides the format."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency * time) + noise, RATE)


def write_spoken(folder: Path, speakers: int = 4, takes: int = 5) -> None:
    """Write recordings named CLASS_SPEAKER_TAKE into one folder."""
    for label, frequency in enumerate(PITCHES):
        for speaker in range(speakers):
            for take in range(takes):
                seed = 1000 * label + 50 * speaker + take
                write_tone(folder / f"{label}_speaker{speaker}_{take}.wav", frequency, seed=seed)


def write_cinc2016(folder: Path, *, each: int = 6, seconds: float = 0.25, suffix: str = ".wav") -> None:
    """Write records of two sites in the layout of PhysioNet/CinC 2016, half of them abnormal."""
    for site, letter in enumerate("ab"):
        lines = []
        for number in range(1, each + 1):
            name, abnormal = f"{letter}{number:04}", number % 2
            path = folder / f"training-{letter}" / f"{name}{suffix}"
            write_tone(path, PITCHES[abnormal], seconds, seed=100 * site + number)
            lines.append(f"{name},{1 if abnormal else -1}")
        (folder / f"training-{letter}" / "REFERENCE.csv").write_text("\n".join(lines) + "\n")
