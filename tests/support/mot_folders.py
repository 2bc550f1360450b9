"""Drawn sequences in the exact layout of MOTChallenge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from distillab.sources.drawn_tracks import DrawnSequence, DrawnTracks

MotLayout = Literal["mot15", "mot17"]


def drawn_sequence(
    frames: int = 12, walkers: int = 3, number: int = 0, resolution: int = 64
) -> DrawnSequence:
    """Return a short drawn sequence."""
    return DrawnTracks(frames=frames, walkers=walkers, resolution=resolution).drawn("train", number)


def rows_of(sequence: DrawnSequence, layout: MotLayout = "mot15") -> list[str]:
    """Return the lines of ``gt.txt``, the rows of one identity after those of another."""
    rows = []
    for frame, objects in enumerate(sequence.objects, start=1):
        for each in objects:
            left, top, right, bottom = each.box
            box = f"{left + 1:.4f},{top + 1:.4f},{right - left:.4f},{bottom - top:.4f}"
            rest = "1,-1,-1,-1" if layout == "mot15" else f"1,1,{each.visibility:.4f}"
            rows.append((each.identity + 1, frame, f"{frame},{each.identity + 1},{box},{rest}"))
    return [text for *_, text in sorted(rows)]


def write_sequence(
    folder: Path,
    sequence: DrawnSequence,
    layout: MotLayout = "mot15",
    *,
    rows: Sequence[str] | None = None,
    facts: bool = True,
) -> Path:
    """Write a sequence as ``img1``, ``gt/gt.txt`` and ``seqinfo.ini``, and return its folder.

    Args:
        folder: The folder of the sequence.
        sequence: The sequence.
        layout: Whose columns ``gt.txt`` has.
        rows: Its lines; by default those of the sequence.
        facts: Whether there is a ``seqinfo.ini``.
    """
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number, pixels in enumerate(sequence.pixels, start=1):
        Image.fromarray(pixels).save(folder / "img1" / f"{number:06d}.png")
    lines = rows_of(sequence, layout) if rows is None else rows
    (folder / "gt" / "gt.txt").write_text("".join(f"{line}\n" for line in lines))
    frames, height, width, _ = np.shape(sequence.pixels)
    if facts:
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=7\nseqLength={frames}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.png\n"
        )
    return folder
