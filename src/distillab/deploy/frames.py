"""The frames of a sequence: which files they are, in which order, and that they are of one size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.modalities.image.opening import DAMAGE, displayed_size

FRAMES_FOLDER = "img1"
"""The folder of the frames in that of a sequence of MOTChallenge."""
_ONE_SEQUENCE = "one folder of frames, or the files of one sequence"


def frames_in(paths: Sequence[str | Path]) -> list[Path]:
    """Return the frames of one sequence, in the natural order of their names: frame-2 before frame-10.

    Args:
        paths: A folder of images, also that of a sequence of MOTChallenge; or the images themselves.

    Raises:
        RequestError: A folder holds no image, or there are several folders.

    Example:
        >>> [frame.name for frame in frames_in(["f10.png", "f2.png"])]
        ['f2.png', 'f10.png']
    """
    found = [Path(path) for path in paths]
    folders = [path for path in found if path.is_dir()]
    if folders:
        if len(found) > 1:
            raise RequestError(
                f"{len(found)} places are named, and one sequence is followed",
                where="FRAMES",
                allowed=_ONE_SEQUENCE,
            )
        [folder] = folders
        inside = folder / FRAMES_FOLDER if (folder / FRAMES_FOLDER).is_dir() else folder
        endings = image_extensions()
        found = [
            file
            for file in inside.iterdir()
            if file.suffix.lower() in endings and file.is_file() and not file.name.startswith(".")
        ]
        if not found:
            raise RequestError("holds no image", where=str(folder), allowed=_ONE_SEQUENCE)
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key by which numbers in names are sorted as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts] + [(-1, str(path))]


def require_one_size(frames: Sequence[Path]) -> None:
    """Raise RequestError if frames are of different sizes. Those that cannot be read are left out.

    Args:
        frames: The files.

    Example:
        >>> require_one_size([])
    """
    first: tuple[int, int] | None = None
    for frame in frames:
        try:
            width, height = displayed_size(frame)
        except DAMAGE:
            continue
        first = first or (height, width)
        require_same_size((height, width), first, str(frame))


def require_same_size(size: tuple[int, int], first: tuple[int, int], where: str) -> None:
    """Raise RequestError if a frame is of another size than the first one.

    Args:
        size: Its height and width in pixels.
        first: Those of the first frame.
        where: The frame, for messages.

    Example:
        >>> require_same_size((4, 2), (2, 4), "b.png")
        Traceback (most recent call last):
        distillab.errors.RequestError: b.png: is 2x4 pixels, and the frames before it are 4x2 (allowed: ...
    """
    if size != first:
        raise RequestError(
            f"is {size[1]}x{size[0]} pixels, and the frames before it are {first[1]}x{first[0]}",
            where=where,
            allowed="frames of one size",
        )
