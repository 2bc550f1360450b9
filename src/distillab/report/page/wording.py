"""Numbers, levels and places in plain words, the same everywhere on the page."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

from distillab.evidence.wording import describe_level
from distillab.report.contents.study import Cell, Level, Number

DASH = "–"
MINUS = "−"

VERDICT_WORDS = {
    "helps": ("helps", "distilling helps by more than the margin"),
    "harms": ("harms", "distilling harms by more than the margin"),
    "equivalent": ("no difference", "the gain lies within the margin"),
    "undecided": ("undecided", "the interval leaves it open"),
}
VERDICT_GLYPHS = {"helps": "▲", "harms": "▼", "equivalent": "■", "undecided": "○"}

PROVENANCES = {
    "same": "teacher of the same data",
    "full": "teacher of the full data",
    "external": "external teacher",
}


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its name, unit, the factor that numbers are multiplied with, and its sense."""

    label: str
    unit: str
    scale: float
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "points", 100),
    "accuracy_selected": Metric("Accuracy (epoch chosen on val)", "points", 100),
    "balanced_accuracy": Metric("Balanced accuracy", "points", 100),
    "macro_f1": Metric("Macro F1", "points", 100),
    "worst_class_accuracy": Metric("Worst class", "points", 100),
    "worst_group_accuracy": Metric("Worst group", "points", 100),
    "head_accuracy": Metric("Frequent classes", "points", 100),
    "middle_accuracy": Metric("Middle classes", "points", 100),
    "tail_accuracy": Metric("Rare classes", "points", 100),
    "agreement": Metric("Agreement with teacher", "points", 100),
    "teacher_accuracy": Metric("Teacher accuracy", "points", 100),
    "ece": Metric("Calibration error (ECE)", "points", 100, higher_is_better=False),
    "nll": Metric("Negative log-likelihood", "nats", 1, higher_is_better=False),
    "brier": Metric("Brier score", "points", 100, higher_is_better=False),
    "teacher_kl": Metric("Divergence from teacher (KL)", "nats", 1, higher_is_better=False),
}


def metric(name: str) -> Metric:
    """How ``name`` is shown; a metric that is not in the table is shown as it is."""
    shown = METRICS.get(name)
    measure, dot, test = name.partition(".")
    if shown is None and dot and measure in METRICS:  # on another test set
        return replace(METRICS[measure], label=f"{METRICS[measure].label}, {humane(test)} images")
    return shown or Metric(humane(name).capitalize(), "", 1)


def missing(value: Number) -> bool:
    """Whether there is no number to show."""
    return value is None or not math.isfinite(value)


def humane(name: str) -> str:
    """A registered name as words: ``label_noise`` is "label noise"."""
    return name.replace("_", " ")


def number(value: Number, digits: int = 2) -> str:
    """A plain number, or a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: Number, digits: int = 1) -> str:
    """A fraction as a percentage: 0.812 is "81.2 %"."""
    return DASH if missing(value) else f"{number(100 * (value or 0.0), digits)} %"


def signed(value: Number, name: str = "accuracy", digits: int | None = None) -> str:
    """A difference in the unit of a metric, with its sign: 0.012 is "+1.2"."""
    if value is None or not math.isfinite(value):
        return DASH
    scale = metric(name).scale
    places = digits if digits is not None else (1 if scale == 100 else 3)
    shown = round(scale * value, places)
    return f"{shown:+.{places}f}".replace("-", MINUS) if shown else f"{0:.{places}f}"


def interval(low: Number, high: Number, name: str = "accuracy") -> str:
    """An interval of differences: "[+0.4, +2.1]"."""
    return DASH if missing(low) or missing(high) else f"[{signed(low, name)}, {signed(high, name)}]"


def p_value(value: Number) -> str:
    """A p-value with two significant digits, and never 0."""
    if value is None or not math.isfinite(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def big(value: Number) -> str:
    """A count with its order of magnitude: 1.2 M, 41.2 M, 312 k."""
    if value is None or not math.isfinite(value):
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:g}"


def count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: Number) -> str:
    """Seconds in the unit a person would use."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


# The parts of a training step, in words.
PHASES = {
    "views": "drawing the views",
    "teacher": "hearing the teacher",
    "forward": "student, forwards, and the loss",
    "backward": "student, backwards",
    "optimiser": "optimiser",
    "evaluation": "looking at val",
    "waiting": "waiting for the device",
}


def size(amount: int) -> str:
    """Bytes for people: ``1.6 GB``."""
    value = float(amount)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def times(value: Number, digits: int = 1) -> str:
    """A ratio: "8.1 ×"."""
    return DASH if missing(value) else f"{number(value, digits)} ×"


def ratio(numerator: Number, denominator: Number) -> Number:
    """numerator / denominator, or None where that has no meaning."""
    if missing(numerator) or missing(denominator) or not denominator:
        return None
    return (numerator or 0.0) / denominator


def level_text(value: float | str | None) -> str:
    """A level as it is written in a study: 400, 0.4, symmetric; "none" if the factor is not applied."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else f"{value:.6g}"


def levels_text(levels: Iterable[Level]) -> str:
    """Levels of a cell in one line; a study without factors has "data as given"."""
    parts = [level.words or describe_level(level.factor, level.value) for level in levels]
    return " · ".join(parts) or "data as given"


def provenance_text(provenance: str) -> str:
    """Where a teacher learned, in words."""
    return PROVENANCES.get(provenance, humane(provenance))


@dataclass(frozen=True)
class Naming:
    """Names cells by the parts that differ among them, so that what never varies is not repeated."""

    datasets: bool
    students: bool
    teachers: bool
    provenances: bool

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Naming:
        """The naming that keeps these cells apart; having no teacher is not having another teacher."""
        known = set(cells)
        return cls(
            datasets=len({cell.dataset for cell in known}) > 1,
            students=len({cell.student for cell in known}) > 1,
            teachers=len({cell.teacher for cell in known} - {""}) > 1,
            provenances=len({cell.provenance for cell in known} - {""}) > 1,
        )

    def group(self, cell: Cell) -> str:
        """The name of everything but the levels: "" if it is the same for all cells."""
        parts = [cell.dataset] if self.datasets else []
        if self.teachers and cell.teacher:
            parts.append(f"{cell.teacher} → {cell.student}")
        elif self.students:
            parts.append(cell.student)
        if self.provenances and cell.provenance:
            parts.append(provenance_text(cell.provenance))
        if (self.teachers or self.provenances) and not (cell.teacher or cell.provenance):
            parts.append("without a teacher")
        return " · ".join(parts)

    def full(self, cell: Cell) -> str:
        """Group and levels."""
        group = self.group(cell)
        return f"{group} · {levels_text(cell.levels)}" if group else levels_text(cell.levels)


def wrapped(text: str, width: int) -> list[str]:
    """``text`` broken into lines of at most ``width`` characters; a longer word is cut."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
