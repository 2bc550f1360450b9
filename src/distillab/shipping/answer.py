"""The answer of `distillab distill`: which student to use, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distillab.canonical import JsonObject
from distillab.evidence.families import family_verdict
from distillab.evidence.pairs import Row, finite_value
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.seeds import LEAST_PAIRS

Ship = Literal["distilled", "plain", "undecided"]
ANSWER_FILE = "answer.json"
_SHORT = 0.5  # of the usual steps, below which the first sentence names the length


@dataclass(frozen=True)
class ShippedRun:
    """A trained student that can be used.

    Attributes:
        run_id: Its run.
        method: Its method, ``ce`` for a plain one.
        student: The student by name.
        seed: Its seed.
        val_score: Its score on val.

    Example:
        >>> ShippedRun("7f3a", "kd", "resnet8", 3, 0.91).is_plain
        False
    """

    run_id: str
    method: str
    student: str
    seed: int
    val_score: float

    @property
    def is_plain(self) -> bool:
        """True for a student that was trained without a teacher."""
        return self.method == PLAIN


@dataclass(frozen=True)
class ShippingAnswer:
    """Which student to use: distilled, plain, or undecided, with the gain that says so.

    Attributes:
        ship: ``distilled``, ``plain`` or ``undecided``.
        headline: The answer in one sentence.
        metric: The metric of gain and scores.
        gain: Mean paired gain of the distilled students on test; NaN without a pair.
        low: Lower end of its 95 % interval; NaN if it is not known.
        high: Upper end.
        pairs: Number of pairs.
        method: The method that was chosen on val; empty if none was.
        settings: Its chosen settings and those of the plain student, by method.
        distilled_score: Mean score of the distilled students on test.
        plain_score: The same of the plain ones.
        teacher_score: Score of the teacher on test; NaN if it is not known.
        run: The student that is exported; None if none was trained.
        artifact: The folder of the exported student; None if there is none.
        study: The folder of the study.
        budget: Seconds of the budget.
        seconds: Seconds that were used.
        warnings: What could go wrong with these data or this teacher, one sentence each.
        harms: What distillation harms behind the metric, one sentence each.
        notes: What the answer does not cover, one sentence each.
        next_step: What would decide, or improve, the answer.
        checks: The checks of the exported student.

    Example:
        >>> nan = float("nan")
        >>> answer = ShippingAnswer("undecided", "Undecided.", "accuracy", nan, nan, nan, 0, "", {},
        ...     nan, nan, nan, None, None, Path("out"), 60.0, 61.0)
        >>> [key for key in answer.as_dict()][:7]
        ['ship', 'gain', 'ci_low', 'ci_high', 'n_pairs', 'method', 'artifact']
    """

    ship: Ship
    headline: str
    metric: str
    gain: float
    low: float
    high: float
    pairs: int
    method: str
    settings: Mapping[str, str]
    distilled_score: float
    plain_score: float
    teacher_score: float
    run: ShippedRun | None
    artifact: Path | None
    study: Path
    budget: float
    seconds: float
    warnings: tuple[str, ...] = ()
    harms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next_step: str = ""
    checks: JsonObject | None = None

    @property
    def not_written(self) -> Mapping[str, str]:
        """The files of the exported student that are missing, with the reasons."""
        return dict((self.checks or {}).get("not_written", {}))

    @property
    def is_whole(self) -> bool:
        """False if a file of full precision of the exported student did not pass its checks."""
        return self.checks is None or bool(self.checks.get("passed", True))

    def as_dict(self) -> JsonObject:
        """Return the JSON form, as ``answer.json`` has it; what is not known is null."""
        return {
            "ship": self.ship,
            "gain": _known(self.gain),
            "ci_low": _known(self.low),
            "ci_high": _known(self.high),
            "n_pairs": self.pairs,
            "method": self.method,
            "artifact": None if self.artifact is None else str(self.artifact),
            "headline": self.headline,
            "metric": self.metric,
            "distilled": _known(self.distilled_score),
            "plain": _known(self.plain_score),
            "teacher": _known(self.teacher_score),
            "run_id": self.run.run_id if self.run else None,
            "student": self.run.student if self.run else None,
            "trained_by": self.run.method if self.run else None,
            "seed": self.run.seed if self.run else None,
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
            "harms": list(self.harms),
            "notes": list(self.notes),
            "next": self.next_step,
            "study": str(self.study),
            "report": str(self.study / "report.html"),
            "budget": self.budget,
            "seconds": round(self.seconds, 1),
            "checks": self.checks,
        }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class ShippingComparison:
    """The distilled students against their plain ones, on test.

    Attributes:
        row: The row of effects.
        verdict: ``helps``, ``harms``, ``equivalent`` or ``undecided``.
    """

    row: Row
    verdict: str

    @classmethod
    def of(cls, effects: Sequence[Row], metric: str) -> ShippingComparison | None:
        """Return the comparison of the finalist; None if no pair has finished."""
        rows = [row for row in effects if row["metric"] == metric and row["n_pairs"]]
        if not rows:
            return None
        most = max(rows, key=lambda row: row["n_pairs"])
        return cls(most, family_verdict(most) if most["n_pairs"] >= LEAST_PAIRS else "undecided")

    @property
    def ship(self) -> Ship:
        """What to use. An equal plain student is preferred: it needs no teacher when it is trained again."""
        return {"helps": "distilled", "harms": "plain", "equivalent": "plain"}.get(self.verdict, "undecided")  # type: ignore[return-value]

    def number(self, column: str) -> float:
        """Return a number of the row, NaN if it is not known."""
        value = finite_value(self.row, column)
        return math.nan if value is None else value


def best_run(rows: Sequence[Row], ship: Ship, method: str, student: str) -> ShippedRun | None:
    """Return the run to export: that of the best score on val, of the kind of student that is shipped.

    If it is undecided which kind is better, the one with the better mean score on val is exported; the plain
    student if both are equal.

    Args:
        rows: Rows of results.
        ship: What to use.
        method: The chosen method.
        student: The student by name.

    Example:
        >>> row = {"run_id": "a", "method": "ce", "student": "resnet8", "seed": 0, "status": "done",
        ...        "val_score": 0.8}
        >>> best_run([row, {**row, "run_id": "b", "val_score": 0.9}], "plain", "kd", "resnet8").run_id
        'b'
    """
    done = [
        row
        for row in rows
        if row["status"] == "done" and row["student"] == student and row["method"] in (method, PLAIN)
    ]
    by_method: dict[str, list[Row]] = {}
    for row in done:
        by_method.setdefault(row["method"], []).append(row)
    if ship == "undecided":
        wanted = max(by_method, key=lambda name: (_mean_score(by_method[name]), name == PLAIN), default=None)
    else:
        wanted = method if ship == "distilled" else PLAIN
    candidates = by_method.get(wanted or "", [])
    if not candidates:
        return None
    best = max(candidates, key=lambda row: (_score(row), -row["seed"]))
    return ShippedRun(best["run_id"], best["method"], best["student"], best["seed"], _score(best))


def _score(row: Row) -> float:
    value = finite_value(row, "val_score")
    return -math.inf if value is None else value


def _mean_score(rows: Sequence[Row]) -> float:
    return sum(_score(row) for row in rows) / len(rows)


def headline_text(found: ShippingComparison | None, ship: Ship, metric: str, run: ShippedRun | None) -> str:
    """Return the answer in one sentence.

    Example:
        >>> headline_text(None, "undecided", "accuracy", None)
        'Undecided: no pair of a plain and a distilled student was trained within the budget.'
    """
    if found is None or run is None:
        return "Undecided: no pair of a plain and a distilled student was trained within the budget."
    gain = f"{100 * found.number('gain'):+.1f}"
    low, high = found.number("ci_low"), found.number("ci_high")
    ends = f" [{100 * low:+.1f}, {100 * high:+.1f}]" if math.isfinite(low + high) else ""
    behind = f"{gain}{ends} points of {metric} on test, {found.row['n_pairs']} pairs"
    if ship == "distilled":
        return f"Ship the distilled student: {found.row['method']} gains {behind}."
    if ship == "plain" and found.verdict == "harms":
        return f"Ship the plain student: distilling by {found.row['method']} harms ({behind})."
    if ship == "plain":
        return f"Ship the plain student: distilling by {found.row['method']} did not help ({behind})."
    exported = "plain" if run.is_plain else "distilled"
    reason = "no worse" if run.is_plain else "better"
    return (
        f"Undecided whether distilling by {found.row['method']} helps ({behind}); the {exported} student is "
        f"exported, which is {reason} on val."
    )


def short_text(share: float) -> str:
    """Return what the answer adds to its first sentence if training was much shorter than usual.

    Args:
        share: Steps of training as a share of the usual number.

    Example:
        >>> short_text(0.5), short_text(0.18)
        ('', ' Training was short (18 % of the usual steps): a longer one may decide otherwise.')
    """
    if share >= _SHORT:
        return ""
    return f" Training was short ({100 * share:.0f} % of the usual steps): a longer one may decide otherwise."
