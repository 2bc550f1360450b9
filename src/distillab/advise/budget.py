"""The budget of an advice: how long it may take, as people write it."""

from __future__ import annotations

import math
import re

from distillab.errors import RequestError

_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_ALLOWED = "0, or numbers with the units s, m and h, such as 90s, 15m or 1h30m"


def parse_budget(budget: str | float) -> float:
    """Return a budget in seconds.

    Args:
        budget: A number with a unit (``15m``, ``90s``, ``1.5h``), several of them (``1h30m``), or ``0``. A
            number that is not a text is in seconds.

    Raises:
        RequestError: It is something else, negative, or not finite.

    Example:
        >>> parse_budget("15m"), parse_budget("1h30m"), parse_budget("0"), parse_budget(20)
        (900.0, 5400.0, 0.0, 20.0)
    """
    if isinstance(budget, int | float) and not isinstance(budget, bool):
        if math.isfinite(budget) and budget >= 0:
            return float(budget)
        raise _refused(budget)
    text = str(budget).strip().lower()
    if re.fullmatch(r"0+(\.0+)?", text):
        return 0.0
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip() or any(unit not in _UNITS for _, unit in parts):
        raise _refused(budget)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_budget(seconds: float) -> str:
    """Return seconds as a budget is written.

    Example:
        >>> format_budget(900), format_budget(5400), format_budget(90), format_budget(0)
        ('15m', '1h30m', '1m30s', '0')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    parts = [(hours, "h"), (minutes, "m"), (whole % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0"


def _refused(budget: object) -> RequestError:
    return RequestError(f"{budget!r} is not a length of time", where="--budget", allowed=_ALLOWED)
