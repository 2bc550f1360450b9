"""What a profile is made of: measures with their intervals, pictures, and the families they come in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from distillab.data.examples import Pixels

Unit = Literal["", "share", "count", "pixels", "bytes", "nats", "bits"]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, or why there is none.

    Attributes:
        low, high: its ends; NaN if there is none.
        how: where it comes from: ``Wilson``, ``bootstrap``, ``exact`` (a count of all images, which has no
            error of sampling), ...
    """

    low: float
    high: float
    how: str


def exact(value: float) -> Interval:
    """Of a number that is known, not estimated."""
    return Interval(value, value, "exact")


@dataclass(frozen=True)
class Measure:
    """One number about a dataset.

    Attributes:
        key: its name in JSON, unique in a profile.
        label: its name for people.
        value: the number; NaN if the data do not allow it.
        interval: what is known about it.
        n: images (or pairs, classes) that it was computed from.
        seconds: what it cost, without the work that several measures share.
        means: one line: what it means for distillation.
        unit: how it is written: ``share`` as a percentage.
        hypothesis: whether ``means`` states something that this lab has not shown.
        claims: ids of published claims behind ``means``.
        alarm: what stands out, as a sentence; empty if nothing does.
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

    def facts(self) -> dict[str, Any]:
        """The plain form, for JSON."""
        return {
            "key": self.key,
            "label": self.label,
            "value": _plain(self.value),
            "low": _plain(self.interval.low),
            "high": _plain(self.interval.high),
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
    """An image of the dataset. ``name`` is what its file or row is called, or its id."""

    pixels: Pixels
    name: str
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures under a title; each row of ``rows`` belongs together, under its own title."""

    title: str
    note: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]

    def facts(self) -> dict[str, Any]:
        """The plain form, for JSON: names instead of pixels."""
        rows = [
            {"title": title, "images": [{"name": p.name, "caption": p.caption} for p in row]}
            for title, row in self.rows
        ]
        return {"title": self.title, "note": self.note, "rows": rows}


@dataclass(frozen=True)
class Grid:
    """A table: text and numbers as they are to be read."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]

    def facts(self) -> dict[str, Any]:
        """The plain form, for JSON."""
        rows = [[_plain(v) if isinstance(v, float) else v for v in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


@dataclass(frozen=True)
class Family:
    """Measures that belong together, and what there is to see.

    ``notes`` say what was left out and why, one sentence each.
    """

    key: str
    title: str
    measures: tuple[Measure, ...]
    galleries: tuple[Gallery, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The plain form, for JSON."""
        return {
            "key": self.key,
            "title": self.title,
            "measures": [measure.facts() for measure in self.measures],
            "galleries": [gallery.facts() for gallery in self.galleries],
            "grids": [grid.facts() for grid in self.grids],
            "notes": list(self.notes),
        }


def measures_of(families: tuple[Family, ...]) -> Mapping[str, Measure]:
    """All measures by their keys."""
    return {measure.key: measure for family in families for measure in family.measures}


def _plain(value: float | int) -> float | int | None:
    """JSON has no NaN and no infinity."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(value) if isinstance(value, int | np.integer) else float(f"{number:.6g}")
