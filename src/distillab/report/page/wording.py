"""Numbers, levels and verdicts in plain words, the same everywhere on the page."""

from __future__ import annotations

import math
import textwrap

from distillab.evidence.level_effects import LEVEL_VERDICTS, LevelVerdict
from distillab.evidence.verdicts import Verdict
from distillab.report.contents.gains import Number
from distillab.tasks import Metric

DASH, MINUS = "–", "−"

VERDICT_NAMES: dict[Verdict, tuple[str, str]] = {
    "helps": ("helps", "distillation helps by more than the margin"),
    "harms": ("harms", "distillation harms by more than the margin"),
    "equivalent": ("no difference", "the gain lies within the margin"),
    "undecided": ("undecided", "fewer than 5 pairs, or the interval allows several verdicts"),
}
LEVEL_VERDICT_NAMES: dict[LevelVerdict, str] = {
    "larger": "larger",
    "smaller": "smaller",
    "equivalent": "no difference",
    "undecided": "undecided",
}
LEVEL_TONES: dict[LevelVerdict, Verdict] = {verdict: tone for tone, verdict in LEVEL_VERDICTS.items()}
VERDICT_GLYPHS: dict[Verdict, str] = {"helps": "▲", "harms": "▼", "equivalent": "■", "undecided": "○"}
EARLY_GLYPH = "◔"
LENGTH_NAMES: dict[bool | None, str] = {
    True: "long enough",
    False: f"{EARLY_GLYPH} early training",
    None: "cannot be judged",
}

# The phases of a training step.
PHASE_NAMES = {
    "views": "augmentation",
    "teacher": "teacher outputs",
    "forward": "student, forward pass and loss",
    "backward": "student, backward pass",
    "optimiser": "optimizer",
    "evaluation": "evaluation on val",
    "waiting": "waiting for the device",
}


def missing(value: Number) -> bool:
    """Return True if there is no number to show."""
    return value is None or not math.isfinite(value)


def spaced(name: str) -> str:
    """Return a registered name with spaces: ``label_noise`` is "label noise"."""
    return name.replace("_", " ")


def capital(text: str) -> str:
    """Return a text with a capital first letter, the rest unchanged."""
    return text[:1].upper() + text[1:]


def number(value: Number, digits: int = 2) -> str:
    """Return a plain number, or a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: Number, digits: int = 1) -> str:
    """Return a fraction as a percentage: 0.812 is "81.2 %"."""
    return DASH if missing(value) else f"{number(100 * (value or 0.0), digits)} %"


def score(value: Number, metric: Metric) -> str:
    """Return a value of a metric: 81.2 % for points, 0.412 for nats."""
    return percent(value) if metric.unit == "points" else number(value, 3)


def scaled(value: Number, metric: Metric) -> str:
    """Return a value of a metric without its unit, for a column whose heading has it."""
    places = 1 if metric.unit == "points" else 3
    return number(None if value is None else metric.scale * value, places)


def heading(metric: Metric) -> str:
    """Return the heading of a column with values of a metric: ``Accuracy, %``."""
    return f"{metric.title}, %" if metric.unit == "points" else f"{metric.title}, {metric.unit}"


def signed(value: Number, metric: Metric, digits: int | None = None) -> str:
    """Return a difference in the unit of a metric, with its sign: 0.012 is "+1.2"."""
    if value is None or not math.isfinite(value):
        return DASH
    places = digits if digits is not None else (1 if metric.unit == "points" else 3)
    shown = round(metric.scale * value, places)
    return f"{shown:+.{places}f}".replace("-", MINUS) if shown else f"{0:.{places}f}"


def interval(low: Number, high: Number, metric: Metric) -> str:
    """Return an interval of differences: "[+0.4, +2.1]"."""
    return DASH if missing(low) or missing(high) else f"[{signed(low, metric)}, {signed(high, metric)}]"


def p_value(value: Number) -> str:
    """Return a p-value with two significant digits, and never 0."""
    if value is None or not math.isfinite(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def magnitude(value: Number) -> str:
    """Return a number with its order of magnitude: 1.2 M, 41.2 M, 312 k."""
    if value is None or not math.isfinite(value):
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:g}"


def whole(value: int) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: Number) -> str:
    """Return seconds in a suitable unit."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def size(amount: int) -> str:
    """Return a number of bytes: ``1.6 GB``."""
    value = float(amount)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def times(value: Number, digits: int = 1) -> str:
    """Return a ratio: "8.1 ×"."""
    return DASH if missing(value) else f"{number(value, digits)} ×"


def ratio(numerator: Number, denominator: Number) -> Number:
    """Return numerator / denominator, or None where that has no meaning."""
    if missing(numerator) or missing(denominator) or not denominator:
        return None
    return (numerator or 0.0) / denominator


def level_value(value: float | str | None) -> str:
    """Return a level as a study writes it: 400, 0.4, symmetric; "none" if the factor is not applied."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else f"{value:.6g}"


def wrapped(text: str, width: int) -> list[str]:
    """Return ``text`` broken into lines of at most ``width`` characters; longer words are cut."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
