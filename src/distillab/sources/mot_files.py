"""The files of MOTChallenge: one folder per sequence, with its frames and the boxes of its ground truth."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.sources.box_source import numbers
from distillab.sources.delimited import read_lines

PEDESTRIAN = 1
DISTRACTORS = frozenset({2, 7, 8, 12})
"""Classes of MOT16, 17 and 20 that look like pedestrians, so that finding them is no mistake: people on
vehicles, standing people, distractors, and reflections."""
_ALSO_OF_2020 = frozenset({6})  # vehicles without a motor
PUBLIC_DETECTORS = ("DPM", "FRCNN", "SDP")
"""Endings of the folders of MOT17, in which every sequence lies three times."""
_OF_2015, _LATER = 10, 9  # columns of gt.txt
_COLUMNS = "frame, id, left, top, width, height, considered, then x, y, z (MOT15) or class, visibility"
_DEEPEST = 2  # folders between that of the data set and that of a sequence


@dataclass(frozen=True)
class MotRow:
    """An object of a frame.

    Attributes:
        identity: Its id within its sequence.
        left: Left edge in pixels, the left upper corner of the image being (0, 0).
        top: Top edge.
        width: Width.
        height: Height.
        counted: Whether it is to be found; False for a distractor, of which finding it is no mistake either.
    """

    identity: int
    left: float
    top: float
    width: float
    height: float
    counted: bool = True


@dataclass(frozen=True, eq=False)
class MotSequence:
    """A sequence of frames and what is to be found in them.

    Attributes:
        name: Its name.
        images: The file of each frame, from frame 1 on.
        size: Width and height of a frame; None if they are not stated.
        rows: The objects of frames that have any, by the number of the frame.
        left_out: Rows that the rules of the format leave out.
    """

    name: str
    images: Sequence[Path]
    size: tuple[float, float] | None = None
    rows: Mapping[int, Sequence[MotRow]] = field(default_factory=dict)
    left_out: int = 0


def sequence_folders(path: Path, detector: str) -> list[Path]:
    """Return the folders of the sequences of a data set, in alphabetical order.

    Args:
        path: The folder of a sequence, or one that holds such folders, also in ``train``.
        detector: Of a sequence of MOT17, which lies there three times, the ending of the folder that is read.

    Raises:
        RequestError: There is no sequence with ground truth.
    """
    patterns = ["/".join(["*"] * depth + ["gt", "gt.txt"]) for depth in range(_DEEPEST + 1)]
    found = sorted(file.parent.parent for pattern in patterns for file in path.glob(pattern))
    others = tuple(f"-{each}" for each in PUBLIC_DETECTORS if each != detector)
    kept = [folder for folder in found if not folder.name.endswith(others)]
    if not kept:
        raise RequestError(
            "there is no sequence with ground truth" + (f" and the ending -{detector}" if found else ""),
            where=str(path),
            allowed="folders of MOTChallenge: SEQUENCE/gt/gt.txt and SEQUENCE/img1",
        )
    return kept


def read_sequence(folder: Path) -> MotSequence:
    """Return the frames and the ground truth of a sequence.

    Rows of MOT15 have ten columns, those of MOT16, 17 and 20 nine. A row that is not considered (0 in column
    7) is left out, and so is one of another class than pedestrians; distractors stay as what is neither to be
    found nor a mistake. Coordinates count pixels from 1.

    Raises:
        RequestError: A row is not in the format, an id occurs twice in a frame, or a row is about a frame
            that does not exist.
    """
    facts = _facts(folder / "seqinfo.ini")
    images = _images(folder, facts)
    rows: dict[int, dict[int, MotRow]] = {}
    left_out = 0
    distractors = DISTRACTORS | (_ALSO_OF_2020 if folder.name.startswith("MOT20") else frozenset())
    file = folder / "gt" / "gt.txt"
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        frame, row = _row(line, distractors, where)
        if not 1 <= frame <= len(images):
            raise RequestError(
                f"frame {frame} does not exist", where=where, allowed=f"frames 1 to {len(images)}"
            )
        if row is None:
            left_out += 1
        elif row.identity in rows.setdefault(frame, {}):
            raise RequestError(
                f"id {row.identity} occurs twice in frame {frame}",
                where=where,
                allowed="an id once per frame",
            )
        else:
            rows[frame][row.identity] = row
    size = None if facts is None else (float(facts["imwidth"]), float(facts["imheight"]))
    listed = {frame: tuple(of_frame.values()) for frame, of_frame in rows.items()}
    return MotSequence(folder.name, images, size, listed, left_out)


def _row(line: str, distractors: frozenset[int], where: str) -> tuple[int, MotRow | None]:
    """Return the frame of a row and its object, or None if it is left out."""
    fields = line.split(",")
    if len(fields) not in (_LATER, _OF_2015):
        raise RequestError(f"{line.strip()!r} has {len(fields)} columns", where=where, allowed=_COLUMNS)
    values = numbers(fields, len(fields), where)
    frame, identity, left, top, width, height, considered = values[:7]
    if frame != int(frame) or identity != int(identity):
        raise RequestError(f"{line.strip()!r} has no whole frame and id", where=where, allowed=_COLUMNS)
    kind = PEDESTRIAN if len(values) == _OF_2015 else int(values[7])
    is_distractor = kind in distractors
    if not is_distractor and (kind != PEDESTRIAN or considered == 0):
        return int(frame), None
    return int(frame), MotRow(int(identity), left - 1, top - 1, width, height, counted=not is_distractor)


def _facts(file: Path) -> dict[str, str] | None:
    """Return what ``seqinfo.ini`` states, with keys in lower case; None without the file."""
    if not file.is_file():
        return None
    read = configparser.ConfigParser(interpolation=None)
    try:
        read.read_string("\n".join(read_lines(file)))
        facts = dict(read["Sequence"])
        for key in ("seqlength", "imwidth", "imheight"):
            if int(facts[key]) < 1:
                raise ValueError(key)
    except (configparser.Error, KeyError, ValueError) as error:
        raise RequestError(
            f"it does not state the sequence ({str(error).splitlines()[0]})",
            where=str(file),
            allowed="a section [Sequence] with seqLength, imWidth and imHeight",
        ) from error
    return facts


def _images(folder: Path, facts: Mapping[str, str] | None) -> list[Path]:
    """Return the file of each frame, in order; the folder tells where ``seqinfo.ini`` does not."""
    inside = folder / (facts.get("imdir", "img1") if facts else "img1")
    present = {
        int(path.stem): path
        for path in sorted(inside.glob("*"))
        if path.suffix.lower() in image_extensions() and re.fullmatch(r"[0-9]+", path.stem)
    }
    length = int(facts["seqlength"]) if facts else max(present, default=0)
    missing = [frame for frame in range(1, length + 1) if frame not in present]
    if missing or not length:
        what = f"{len(missing)} of {length} frames have no image, first frame {missing[0]}" if missing else ""
        allowed = "images called 000001.jpg, 000002.jpg, ..."
        raise RequestError(what or "there is no frame", where=str(inside), allowed=allowed)
    return [present[frame] for frame in range(1, length + 1)]
