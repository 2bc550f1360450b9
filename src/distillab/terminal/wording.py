"""How times are written in a terminal."""

from __future__ import annotations

import time
from datetime import timedelta


def time_span(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds.

    Example:
        >>> time_span(75.4), time_span(90_000)
        ('0:01:15', '1 day, 1:00:00')
    """
    return str(timedelta(seconds=round(seconds)))


def clock_time(seconds: float) -> str:
    """Return a time since the epoch as local time of day.

    Example:
        >>> len(clock_time(0.0))
        8
    """
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def ago(seconds: float) -> str:
    """Return how long ago something was.

    Example:
        >>> ago(12.3), ago(200), ago(90_000)
        ('12 s ago', '3 min ago', '25 h ago')
    """
    if seconds < 60:
        return f"{max(0, seconds):.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
