"""A table of the report: what every cell shows, and by what a column is sorted."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.evidence.level_effects import LevelVerdict
from distillab.evidence.verdicts import Verdict
from distillab.report.contents.gains import Number
from distillab.report.page import wording


@dataclass(frozen=True)
class TableCell:
    """A cell of a table: its text, the number it is sorted by (None: by text), and its tone (a CSS class)."""

    text: str
    order: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, whether it holds numbers (aligned right, sorted as numbers), and a hint."""

    title: str
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption. ``filterable`` tables get a search field."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    filterable: bool = False


def number_cell(text: str, value: Number, tone: str = "") -> TableCell:
    """Return a cell that is sorted by a number; one without a number is sorted last."""
    return TableCell(text, None if wording.missing(value) else value, tone)


def count_cell(value: int | None) -> TableCell:
    """Return a cell with a whole number, or a dash."""
    return number_cell(wording.DASH if value is None else wording.whole(value), value)


def whole_cell(value: Number) -> TableCell:
    """Return a cell with a measured whole number, or a dash."""
    return count_cell(None if value is None or wording.missing(value) else round(value))


def length_cell(converged: bool | None, note: str) -> TableCell:
    """Return whether training is long enough, with what twice the steps change; a dash if it is not known."""
    if converged is None and not note:
        return TableCell(wording.DASH)
    text = wording.LENGTH_NAMES[converged]
    return TableCell(f"{text}: {note}" if note else text, tone="early" if converged is False else "")


def level_verdict_cell(verdict: LevelVerdict, because: str = "") -> TableCell:
    """Return a verdict on a difference between levels, like :func:`verdict_cell`."""
    tone = wording.LEVEL_TONES[verdict]
    text = f"{wording.VERDICT_GLYPHS[tone]} {wording.LEVEL_VERDICT_NAMES[verdict]}"
    return TableCell(f"{text}: {because}" if because else text, tone=tone)


def verdict_cell(verdict: Verdict, because: str = "") -> TableCell:
    """Return a verdict with its glyph, in its color, and the reason why it is undecided, if any."""
    text = f"{wording.VERDICT_GLYPHS[verdict]} {wording.VERDICT_NAMES[verdict][0]}"
    return TableCell(f"{text}: {because}" if because else text, tone=verdict)
