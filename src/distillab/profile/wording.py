"""Format measures, in the same way in the terminal and on the page."""

from __future__ import annotations

import math

from distillab.profile.measure import Measure, Unit

_DASH = "–"
_MINUS = "−"


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
