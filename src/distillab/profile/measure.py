"""The parts of a profile: measures with intervals, pictures, tables, and the families that hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue

from distillab.data.examples import Pixels

Unit = Literal["", "share", "count", "pixels", "bytes", "nats", "bits"]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, or the reason why there is none.

    Attributes:
        low: Lower end; NaN if there is no interval.
        high: Upper end; NaN if there is no interval.
        how: Where the interval comes from, such as ``Wilson``, ``bootstrap`` or ``exact`` (a count over all
            images, which has no sampling error); ``none: REASON`` if there is no interval.

    Example:
        >>> Interval(0.1, 0.3, "Wilson").high
        0.3
    """

    low: float
    high: float
    how: str


def exact_interval(value: float) -> Interval:
    """Return the interval of a number that was counted rather than estimated.

    Example:
        >>> exact_interval(4)
        Interval(low=4, high=4, how='exact')
    """
    return Interval(value, value, "exact")


@dataclass(frozen=True)
class Measure:
    """One number about a dataset.

    Attributes:
        key: Name in JSON, unique within a profile.
        label: Name shown to users.
        value: The number; NaN if the data do not determine it.
        interval: 95 % interval of ``value``.
        n: Number of images (or pairs, or classes) that the value was computed from.
        seconds: Cost, without the work that several measures share.
        means: One line about the meaning for distillation.
        unit: How the value is formatted; ``share`` as a percentage.
        hypothesis: Whether ``means`` states something that this dataset has not shown.
        claims: Ids of the published claims behind ``means``; docs/claims.md lists them with their sources.
        alarm: A sentence if the value crosses its alarm threshold, otherwise empty.

    Example:
        >>> size = Measure("images", "images", 300, exact_interval(300), 300, 0.0, "The size.", unit="count")
        >>> size.as_dict()["value"]
        300
    """

    key: str
    label: str
    value: float
    interval: Interval
    n: int
    seconds: float
    means: str
    unit: Unit = ""
    hypothesis: bool = False
    claims: tuple[str, ...] = ()
    alarm: str = ""

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the measure as JSON values."""
        return {
            "key": self.key,
            "label": self.label,
            "value": _finite_or_none(self.value),
            "low": _finite_or_none(self.interval.low),
            "high": _finite_or_none(self.interval.high),
            "interval": self.interval.how,
            "unit": self.unit,
            "n": self.n,
            "seconds": round(self.seconds, 3),
            "means": self.means,
            "hypothesis": self.hypothesis,
            "claims": list(self.claims),
            "alarm": self.alarm,
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of the dataset.

    Attributes:
        pixels: uint8 ``[C, H, W]``.
        name: Name of its file or row, or its id.
        caption: Text below the picture.
        text: What is read, if the example is a text; shown in place of the pixels.

    Example:
        >>> Picture(np.zeros((1, 8, 8), np.uint8), "train/cat/12.jpg", "cat").caption
        'cat'
    """

    pixels: Pixels
    name: str
    caption: str = ""
    text: str = ""

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the picture as JSON values, without its pixels."""
        return {"name": self.name, "caption": self.caption, **({"text": self.text} if self.text else {})}


@dataclass(frozen=True, eq=False)
class Gallery:
    """Titled rows of pictures.

    Attributes:
        title: Heading.
        note: Text below the heading; may be empty.
        rows: ``(title, pictures)`` of each row.

    Example:
        >>> cat = Picture(np.zeros((1, 8, 8), np.uint8), "cat.jpg")
        >>> Gallery("Drawn at random", "", (("cats", (cat,)),)).as_dict()["rows"]
        [{'title': 'cats', 'images': [{'name': 'cat.jpg', 'caption': ''}]}]
    """

    title: str
    note: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the gallery as JSON values, with names in place of pixels."""
        rows: list[JsonValue] = [
            {"title": title, "images": [each.as_dict() for each in row]} for title, row in self.rows
        ]
        return {"title": self.title, "note": self.note, "rows": rows}


@dataclass(frozen=True)
class Grid:
    """A table whose cells are formatted text or numbers.

    Attributes:
        title: Heading.
        columns: Column titles.
        rows: One tuple per row, one cell per column.

    Example:
        >>> Grid("Images per class", ("class", "images"), (("cat", 3), ("dog", 5))).as_dict()["rows"]
        [['cat', 3], ['dog', 5]]
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the table as JSON values."""
        rows: list[JsonValue] = [
            [_finite_or_none(cell) if isinstance(cell, float) else cell for cell in row] for row in self.rows
        ]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


@dataclass(frozen=True)
class Family:
    """Measures that belong together, with their pictures and tables.

    Attributes:
        key: Name in JSON.
        title: Heading.
        measures: In the order in which they are shown.
        galleries: Pictures.
        grids: Tables.
        notes: What was left out and why, one sentence each.

    Example:
        >>> Family("size", "Size and shape", (), notes=("No image was read.",)).as_dict()["notes"]
        ['No image was read.']
    """

    key: str
    title: str
    measures: tuple[Measure, ...]
    galleries: tuple[Gallery, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the family as JSON values."""
        return {
            "key": self.key,
            "title": self.title,
            "measures": [measure.as_dict() for measure in self.measures],
            "galleries": [gallery.as_dict() for gallery in self.galleries],
            "grids": [grid.as_dict() for grid in self.grids],
            "notes": list(self.notes),
        }


def measures_by_key(families: tuple[Family, ...]) -> Mapping[str, Measure]:
    """Return all measures of several families by their keys."""
    return {measure.key: measure for family in families for measure in family.measures}


def _finite_or_none(value: float | int) -> float | int | None:
    """Return the number to six significant digits, or None for NaN and infinity, which JSON lacks."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(value) if isinstance(value, int | np.integer) else float(f"{number:.6g}")
