"""How numbers and conditions are written for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distillab.evidence.pairs import FACTOR, Row
from distillab.printable import counted
from distillab.tasks import Metric

Phrases = Mapping[str, str]
"""Factor -> how a level of it is written, such as ``{} examples per class``."""
PHRASES: Phrases = {"size": "{} examples per class"}  # unless the settings of a study imply another


def amount(value: float, metric: Metric, *, sign: bool = True) -> str:
    """Return a value of a metric without its unit: one decimal for points, two for nats."""
    digits = 1 if metric.unit == "points" else 2
    scaled = metric.scale * value
    text = f"{scaled:+.{digits}f}" if sign else f"{scaled:.{digits}f}"
    return text.lstrip("+-") if float(text) == 0.0 else text


def describe_gain(row: Row, metric: Metric, *, unit: bool = True) -> str:
    """Return the gain of an effect row with its interval: ``+9.1 points [6.8, 11.4]``."""
    gain = amount(row["gain"], metric) + (f" {metric.unit}" if unit else "")
    if row["ci_low"] is None or row["ci_high"] is None:
        return f"{gain} [no interval]"
    low, high = (amount(row[end], metric, sign=False) for end in ("ci_low", "ci_high"))
    return f"{gain} [{low}, {high}]"


def describe_level(factor: str, level: Any, phrases: Phrases = PHRASES) -> str:
    """Return a level of a factor in plain words: ``25 examples per class``, ``label noise 0.4``."""
    number = f"{level:g}" if isinstance(level, (int, float)) else "as it is" if level is None else str(level)
    return phrases.get(factor.removeprefix(FACTOR), factor_name(factor) + " {}").format(number)


def factor_name(factor: str) -> str:
    """Return the name of a factor (or its column) in plain words: ``label noise``."""
    return factor.removeprefix(FACTOR).replace("_", " ")


def listed(items: Iterable[str], last: str = "and") -> str:
    """Return items as an enumeration.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    texts = list(items)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}" if texts else ""


def describe_pairs(rows: Sequence[Row]) -> str:
    """Return the number of pairs behind effect rows: ``6 pairs``, ``6 pairs each``, ``4 to 6 pairs each``."""
    numbers = [row["n_pairs"] for row in rows]
    low, high = min(numbers), max(numbers)
    each = " each" if len(rows) > 1 else ""
    return (counted(low, "pair") if low == high else f"{low} to {high} pairs") + each
