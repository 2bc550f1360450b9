"""How measures are written, in the terminal as on the page."""

from __future__ import annotations

import math

from distillab.profile.measure import Measure, Unit

DASH = "–"
MINUS = "−"


def format_value(value: float, unit: Unit) -> str:
    """A number in its unit: a share as a percentage, others with three or four significant digits."""
    if not math.isfinite(value):
        return DASH
    if unit == "share":
        return f"{_digits(100 * value)} %"
    if unit in ("count", "pixels", "bytes"):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return _digits(value)


def format_interval(measure: Measure) -> str:
    """``2.1 to 2.5``; ``exact`` for what was counted; a dash where there is no interval."""
    interval = measure.interval
    if interval.how == "exact":
        return "exact"
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return DASH
    low, high = (format_value(end, measure.unit) for end in (interval.low, interval.high))
    return f"{low.removesuffix(' %')} to {high}"


def _digits(value: float) -> str:
    if not value:
        return "0"
    places = max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{places}f}".replace("-", MINUS)
