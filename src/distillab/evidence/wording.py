"""How numbers and conditions are written for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distillab.evidence.pairs import FACTOR, Row
from distillab.tasks.classification import METRICS

Phrases = Mapping[str, str]  # factor -> what people call a level of it, such as "{} images a class"
PHRASES: Phrases = {"size": "{} images a class"}  # unless a study's own settings say otherwise


def amount(value: float, metric: str, *, signed: bool = True) -> str:
    """A value of a metric, without its unit: 100 times with one decimal for points, two decimals for nats."""
    shown = 100.0 * value if METRICS[metric].unit == "points" else value
    digits = 1 if METRICS[metric].unit == "points" else 2
    text = f"{shown:+.{digits}f}" if signed else f"{shown:.{digits}f}"
    return text.lstrip("+-") if float(text) == 0.0 else text


def describe_gain(row: Row, *, unit: bool = True) -> str:
    """The gain of an effect row with its interval: ``+9.1 points [6.8, 11.4]``."""
    metric = row["metric"]
    words = amount(row["gain"], metric) + (f" {METRICS[metric].unit}" if unit else "")
    if row["ci_low"] is None or row["ci_high"] is None:
        return f"{words} [no interval]"
    ends = [amount(row[end], metric, signed=False) for end in ("ci_low", "ci_high")]
    return f"{words} [{', '.join(ends)}]"


def describe_level(factor: str, level: Any, phrases: Phrases = PHRASES) -> str:
    """A level of a factor: ``25 images a class``, ``label noise 0.4``."""
    number = f"{level:g}" if isinstance(level, (int, float)) else "as it is" if level is None else str(level)
    return phrases.get(factor.removeprefix(FACTOR), factor_name(factor) + " {}").format(number)


def factor_name(factor: str) -> str:
    """A factor for people: ``label noise`` for ``factor.label_noise``."""
    return factor.removeprefix(FACTOR).replace("_", " ")


def listed(items: Iterable[str], last: str = "and") -> str:
    """``a, b and c``."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def count(number: int, noun: str) -> str:
    """``1 pair``, ``6 pairs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_pairs(rows: Sequence[Row]) -> str:
    """How many pairs stand behind some effect rows: ``6 pairs``, ``6 pairs each``, ``4 to 6 pairs each``."""
    numbers = [row["n_pairs"] for row in rows]
    low, high = min(numbers), max(numbers)
    each = " each" if len(rows) > 1 else ""
    return (count(low, "pair") if low == high else f"{low} to {high} pairs") + each
