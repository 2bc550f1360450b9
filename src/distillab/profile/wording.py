"""Format measures, in the same way in the terminal and on the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

from distillab.profile.measure import Family, Gallery, Grid, Measure, Unit

_DASH = "–"
_MINUS = "−"

_NOUNS = {"audio": "recording", "text": "text"}


def noun_of(modality: str) -> str:
    """Return what one example is called.

    Example:
        >>> noun_of("audio"), noun_of("image")
        ('recording', 'image')
    """
    return _NOUNS.get(modality, "image")


def in_words_of(modality: str, sentence: str) -> str:
    """Return a sentence about images as one about examples of a modality.

    Example:
        >>> in_words_of("text", "An image that is like 2 images")
        'A text that is like 2 texts'
    """
    noun = noun_of(modality)
    if noun == "image":
        return sentence
    sentence = re.sub(r"\b([Aa])n image\b", rf"\1 {noun}", sentence)
    sentence = re.sub(r"\bimage(?=s?\b)", noun, sentence)
    return re.sub(r"\bImage(?=s?\b)", noun.capitalize(), sentence)


def family_in_words_of(modality: str, family: Family) -> Family:
    """Return a family, whose sentences are about images, in the words of a modality."""

    def worded(sentence: str) -> str:
        return in_words_of(modality, sentence)

    return replace(
        family,
        measures=tuple(
            replace(each, label=worded(each.label), means=worded(each.means), alarm=worded(each.alarm))
            for each in family.measures
        ),
        galleries=tuple(_gallery(each, worded) for each in family.galleries),
        grids=tuple(
            Grid(worded(each.title), tuple(map(worded, each.columns)), each.rows) for each in family.grids
        ),
        notes=tuple(map(worded, family.notes)),
    )


def _gallery(gallery: Gallery, worded: Callable[[str], str]) -> Gallery:
    return Gallery(worded(gallery.title), worded(gallery.note), gallery.rows)


def format_value(value: float, unit: Unit) -> str:
    """Format a number in its unit: a share as a percentage, others with three or four significant digits.

    Example:
        >>> format_value(0.1234, "share"), format_value(1234567.0, "count")
        ('12.3 %', '1,234,567')
    """
    if not math.isfinite(value):
        return _DASH
    if unit == "share":
        return f"{_significant(100 * value)} %"
    if unit in ("count", "pixels", "bytes"):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return _significant(value)


def format_interval(measure: Measure) -> str:
    """Format an interval: ``2.1 to 2.5``, ``exact`` for a count, a dash where there is no interval."""
    interval = measure.interval
    if interval.how == "exact":
        return "exact"
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return _DASH
    low, high = (format_value(end, measure.unit) for end in (interval.low, interval.high))
    return f"{low.removesuffix(' %')} to {high}"


def _significant(value: float) -> str:
    """Format with three significant digits, or more before the decimal point."""
    if not value:
        return "0"
    places = max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{places}f}".replace("-", _MINUS)
