"""What is written of detections: a table, pictures with boxes, and an animation of frames."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from PIL import Image, ImageColor

from distillab.canonical import JsonObject
from distillab.deploy.detecting import FileDetections
from distillab.errors import RequestError
from distillab.modalities.image.box_pictures import ColoredBox, box_color, draw_boxes

MOST_FRAMES = 2000
"""Frames of an animation, which are held in memory."""
_FRAME_SIDE = 480  # pixels of the longer side of a frame at most
_PALETTE, _MOST_OWN = 160, 60  # colors of a frame, and those of them that are kept for boxes
_JPEG = (".jpg", ".jpeg")


@dataclass
class DetectionOutputs:
    """Writes detections, file by file; the table and the animation appear at the end.

    Attributes:
        classes: Names of the classes, for their colors.
        table: A CSV file with one row per box; None for none.
        pictures: A folder of pictures with boxes.
        animation: A GIF file with one frame per file.
        rate: Frames of the animation per second.

    Example:
        >>> DetectionOutputs(("cell",), animation=Path("a.mp4")).check([], [])
        Traceback (most recent call last):
        distillab.errors.RequestError: --gif: a.mp4 is no GIF file (allowed: a file that ends in .gif)
    """

    columns: ClassVar[tuple[str, ...]] = ("file", "label", "confidence", "left", "top", "right", "bottom")

    classes: Sequence[str]
    table: Path | None = None
    pictures: Path | None = None
    animation: Path | None = None
    rate: float = 10.0
    _names: dict[Path, Path] = field(default_factory=dict)
    _rows: list[JsonObject] = field(default_factory=list)
    _frames: list[Image.Image] = field(default_factory=list)

    def check(self, named: Sequence[Path], files: Sequence[Path]) -> None:
        """Raise RequestError if something cannot be written, before anything is computed.

        Args:
            named: The files and folders that were named.
            files: The files in them.
        """
        if self.animation is not None:
            if self.animation.suffix.lower() != ".gif":
                raise RequestError(
                    f"{self.animation} is no GIF file", where="--gif", allowed="a file that ends in .gif"
                )
            if len(files) > MOST_FRAMES:
                raise RequestError(
                    f"{len(files):,} frames are too many", where="--gif", allowed=f"up to {MOST_FRAMES:,}"
                )
        require_place("--csv", self.table)
        require_place("--gif", self.animation)
        if self.pictures is None:
            return
        try:
            self.pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable("--pictures", self.pictures, error) from error
        self._names = _names_of(named, files)
        taken = {file.resolve() for file in files}
        for name in self._names.values():
            if (self.pictures / name).resolve() in taken:
                raise RequestError(
                    f"{self.pictures / name} is one of the images",
                    where="--pictures",
                    allowed="another folder",
                )

    def written(self, results: Iterable[FileDetections]) -> Iterator[FileDetections]:
        """Yield each result after it is written, and at the end write the table and the animation.

        Args:
            results: What was found in each file.

        Raises:
            RequestError: Something cannot be written.
        """
        for each in results:
            self.add(each)
            yield each
        self.finish()

    def add(self, found: FileDetections) -> None:
        """Write what was found in a file.

        Raises:
            RequestError: Its picture cannot be written.
        """
        self._rows += [{"file": found.file, **box.as_dict()} for box in found.boxes]
        if found.picture is None or (self.pictures is None and self.animation is None):
            return
        drawn = self.drawn(found.picture, found)
        if self.pictures is not None:
            target = self.pictures / self._names[Path(found.file)]
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                drawn.save(target)
            except OSError as error:
                raise unwritable("--pictures", target, error) from error
        if self.animation is not None:
            size = self._frames[0].size if self._frames else None
            self._frames.append(_frame(drawn, size, {box.color for box in self.colored(found)}))

    def finish(self) -> None:
        """Write the table and the animation.

        Raises:
            RequestError: One of them cannot be written.
        """
        if self.table is not None:
            try:
                with self.table.open("w", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, self.columns)
                    writer.writeheader()
                    writer.writerows(self._rows)
            except OSError as error:
                raise unwritable("--csv", self.table, error) from error
        if self.animation is not None and self._frames:
            first, *others = self._frames
            try:
                first.save(
                    self.animation, save_all=True, append_images=others, duration=1000 / self.rate, loop=0
                )
            except OSError as error:
                raise unwritable("--gif", self.animation, error) from error

    def drawn(self, picture: Image.Image, found: FileDetections) -> Image.Image:
        """Return a picture with its boxes, one color per class."""
        return draw_boxes(picture, self.colored(found))

    def colored(self, found: FileDetections) -> list[ColoredBox]:
        """Return the boxes of a picture with their colors and texts."""
        return [
            ColoredBox(
                *(box.left, box.top, box.right, box.bottom),
                self.classes.index(box.label),
                f"{box.label} {box.confidence:.2f}",
            )
            for box in found.boxes
        ]


def _names_of(named: Sequence[Path], files: Sequence[Path]) -> dict[Path, Path]:
    """Return where the picture of each file lies: as below the folder that was named, no two alike."""
    names: dict[Path, Path] = {}
    for file in files:
        base = next((each for each in named if each.is_dir() and file.is_relative_to(each)), file.parent)
        name = file.relative_to(base)
        if name.suffix.lower() not in (".jpg", ".png"):
            name = name.with_name(name.name + (".jpg" if name.suffix.lower() in _JPEG else ".png"))
        stem, number = name, 1
        while name in names.values():
            number += 1
            name = stem.with_name(f"{stem.stem}-{number}{stem.suffix}")
        names[file] = name
    return names


def _frame(picture: Image.Image, size: tuple[int, int] | None, colors: Collection[int]) -> Image.Image:
    """Return a picture as a frame of an animation, in the size of the first one.

    The colors of boxes, which cover few pixels, have places of their own in its palette.
    """
    picture = picture.copy()
    picture.thumbnail(size or (_FRAME_SIDE, _FRAME_SIDE))
    if size is not None and picture.size != size:
        ground = Image.new("RGB", size)
        ground.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
        picture = ground
    own = [value for number in sorted(colors)[:_MOST_OWN] for value in ImageColor.getrgb(box_color(number))]
    found = picture.quantize(_PALETTE - len(own) // 3).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(found + own)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def require_place(option: str, file: Path | None) -> None:
    """Raise RequestError if a file of an option can surely not be written; None is no file."""
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise RequestError(f"{file} cannot be written", where=option, allowed="a file in a folder")


def unwritable(option: str, path: Path, error: OSError) -> RequestError:
    """Return the error of an option whose file or folder could not be written."""
    return RequestError(
        f"{path} cannot be written ({error.strerror or error})", where=option, allowed="a place you can write"
    )
