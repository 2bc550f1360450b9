"""What the sources of images with boxes share: clipping, scaling, counting."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from distillab.data.boxes import Boxes, ignored
from distillab.errors import RequestError
from distillab.modalities.image.decoding import DAMAGE, displayed_size
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath

CLIPPED, NO_AREA, NOT_COUNTED, EMPTY, OTHER_SIZE = range(5)
_NOTES = {
    CLIPPED: "Boxes that reach beyond their image, clipped",
    NO_AREA: "Boxes without area in their image, left out",
    NOT_COUNTED: "Boxes that are neither to be found nor mistakes (crowds, difficult objects)",
    EMPTY: "Images without boxes, kept",
    OTHER_SIZE: "Images whose files have other proportions than their annotations state",
}
_SAME_PROPORTIONS = 0.02  # relative difference that rounding of a resized image makes


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image.

    Attributes:
        label: Its class, a position in the classes of its source.
        left: Left edge in pixels of the annotated image, whose left upper corner is (0, 0).
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.
        counted: Whether it is to be found; False for crowds and difficult objects.
        further: What its targets have after the box, such as an identity.
    """

    label: int
    left: float
    top: float
    right: float
    bottom: float
    counted: bool = True
    further: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        path: Its file.
        name: Its name, for messages.
        size: Width and height that the boxes are written in; None for those of the file.
        objects: Its objects.
        relative: Whether boxes are in shares of width and height.
    """

    path: Path
    name: str
    size: tuple[float, float] | None
    objects: Sequence[AnnotatedObject] = ()
    relative: bool = False


@dataclass(frozen=True, eq=False)
class Annotations:
    """What the annotations of a source list.

    Attributes:
        classes: Names of the classes.
        splits: The images of each split, train among them.
        notes: Sentences for the data report.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[AnnotatedImage]]
    notes: tuple[str, ...] = field(default=())


class BoxSource(ImageSource):
    """Base class of sources of images with boxes. Targets are boxes, for ``task: detection``.

    Boxes are clipped to their images and scaled with them; those without area are left out. Both are counted
    in the data report. Images without boxes stay.

    Attributes:
        path: The folder of the data set.
    """

    argument: ClassVar[str | None] = "path"
    names_splits: ClassVar[bool] = True

    path: SourcePath

    def default_name(self) -> str:
        return self.path.resolve().name

    @abstractmethod
    def annotations(self) -> Annotations:
        """Return what the annotations list. Raises RequestError if they are not in the source's layout."""

    def targets_of(
        self, images: Sequence[AnnotatedImage], rows: Sequence[Sequence[tuple[float, ...]]], classes: int
    ) -> Boxes:
        """Return the targets of some images.

        Args:
            images: The images.
            rows: The class, the edges and what is further known of each object, per image.
            classes: The number of classes.
        """
        return Boxes.of(rows, classes)

    def read(self) -> RawSplits:
        found = self.annotations()
        images = [image for split in found.splits.values() for image in split]
        if not any(image.path.exists() for image in images):
            raise RequestError(
                f"no annotated image exists below {self.path}, such as {images[0].name!r}"
                if images
                else "there is no annotated image",
                where=self.kind,
                allowed="the folder that holds annotations and images",
            )
        counts: Counter[int] = Counter()
        splits = {
            name: RawSplit(
                [image.path for image in split],
                self.targets_of(split, [self._rows(image, counts) for image in split], len(found.classes)),
                [image.name for image in split],
            )
            for name, split in found.splits.items()
            if split
        }
        if "train" not in splits:
            raise RequestError("there is no train split", where=self.kind, allowed="`splits: {train: NAME}`")
        if not any(split.targets.counts.any() for split in splits.values()):
            raise RequestError(
                "no object is to be found",
                where=self.kind,
                allowed="an image with an object that is neither a crowd nor difficult",
            )
        notes = tuple(f"{text}: {counts[what]:,}." for what, text in _NOTES.items() if counts[what])
        return RawSplits(
            found.classes,
            splits["train"],
            splits.get("val"),
            splits.get("test"),
            notes=found.notes + notes,
        )

    def _rows(self, image: AnnotatedImage, counts: Counter[int]) -> list[tuple[float, ...]]:
        """Return the rows of an image, boxes in pixels of the stored one, and count what is found."""
        size = _file_size(image.path)
        annotated = (1.0, 1.0) if image.relative else image.size or size
        if annotated is None:  # of a damaged image, which is left out or stops the reading
            return []
        if size and image.size and not _alike(size, image.size):
            counts[OTHER_SIZE] += 1
        stored = (self.resolution, self.resolution) if self.resolution else size or annotated
        rows: list[tuple[float, ...]] = []
        for each in image.objects:
            row = _within(each, annotated)
            counts[CLIPPED] += row != (each.left, each.top, each.right, each.bottom)
            # As boxes are stored: a thin one that has an area in float64 may have none.
            left, top, right, bottom = (
                float(np.float32(edge * to / of))
                for edge, to, of in zip(row, (*stored, *stored), (*annotated, *annotated), strict=True)
            )
            if not (left < right and top < bottom):
                counts[NO_AREA] += 1
                continue
            counts[NOT_COUNTED] += not each.counted
            label = each.label if each.counted else ignored(each.label)
            rows.append((label, left, top, right, bottom, *each.further))
        counts[EMPTY] += not rows
        return rows


def numbers(values: Iterable[object], count: int, where: str) -> tuple[float, ...]:
    """Return the numbers of a box.

    Args:
        values: Numbers, or texts of numbers.
        count: How many are needed.
        where: The place of the box, for messages.

    Raises:
        RequestError: There are more or fewer, or one is no finite number.

    Example:
        >>> numbers(["1", 2.5], 2, "a.txt")
        (1.0, 2.5)
    """
    given = list(values)
    try:
        found = tuple(float(str(value)) for value in given)
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise RequestError(
            f"{' '.join(map(str, given))!r} is not a box", where=where, allowed=f"{count} finite numbers"
        )
    return found


def class_position(name: object, known: Sequence[object], where: str) -> int:
    """Return the position of a class among those of a source.

    Raises:
        RequestError: It is not one of them.

    Example:
        >>> class_position(3, [1, 3, 7], "a.json")
        1
    """
    if name not in known:
        listed = ", ".join(map(str, known[:20]))
        raise RequestError(f"{name!r} is not a class of the data set", where=where, allowed=listed)
    return known.index(name)


def _within(found: AnnotatedObject, size: tuple[float, float]) -> tuple[float, float, float, float]:
    width, height = size
    return (
        min(max(found.left, 0), width),
        min(max(found.top, 0), height),
        min(max(found.right, 0), width),
        min(max(found.bottom, 0), height),
    )


def _file_size(path: Path) -> tuple[int, int] | None:
    with suppress(*DAMAGE):
        return displayed_size(path)
    return None


def _alike(size: tuple[float, float], stated: tuple[float, float]) -> bool:
    (width, height), (wide, high) = size, stated
    return abs(width * high / (height * wide) - 1) < _SAME_PROPORTIONS
