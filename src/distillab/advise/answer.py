"""Advice: the answer with all that it rests on, as Python values and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from distillab.advise.decision import ADVICE_CONFIDENCE, AdviceVerdict
from distillab.advise.what_if import WhatIf
from distillab.canonical import finite_or_none
from distillab.evidence.verdicts import Verdict
from distillab.notebook import html_table

EvidenceKind = Literal["data", "teacher", "prior", "pilot", "length", "harm", "check", "cost", "assumption"]
ADVICE_VERSION = 1


@dataclass(frozen=True)
class EvidenceItem:
    """One sentence of the answer with what it rests on.

    Attributes:
        kind: Where it comes from.
        text: The sentence.
        runs: Ids of the runs behind it, in the folders of the pilot's studies.
        contexts: The studied contexts behind it.
        claims: Ids of published claims that it refers to.

    Example:
        >>> EvidenceItem("pilot", "kd gains 2.1 points.", runs=("8f0c",)).as_dict()["runs"]
        ['8f0c']
    """

    kind: EvidenceKind
    text: str
    runs: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the JSON form; empty lists are left out."""
        lists = {"runs": self.runs, "contexts": self.contexts, "claims": self.claims}
        return {"kind": self.kind, "text": self.text} | {k: list(v) for k, v in lists.items() if v}


@dataclass(frozen=True)
class NextStep:
    """The cheapest experiment that would make the answer more certain.

    Attributes:
        text: What it does.
        command: The command that runs it; empty for data that were given as Python objects.

    Example:
        >>> NextStep("Race for an hour.", "distillab advise leaves --budget 1h").command
        'distillab advise leaves --budget 1h'
    """

    text: str
    command: str = ""


@dataclass(frozen=True)
class RungRow:
    """A rung of the race as a table shows it.

    Attributes:
        method: The method.
        pairs: Number of pairs.
        steps: Steps of each run.
        gain: Mean paired gain.
        low: Lower end of its 80 % interval.
        high: Upper end of its 80 % interval.
        study: The folder of its study.

    Example:
        >>> RungRow("kd", 3, 200, 0.02, 0.01, 0.03, "advice/leaves/race/8f0c").pairs
        3
    """

    method: str
    pairs: int
    steps: int
    gain: float
    low: float
    high: float
    study: str


@dataclass(frozen=True, eq=False)
class Advice:
    """Whether to distil on some data, with all that the answer rests on.

    Attributes:
        verdict: ``distil``, ``plain`` or ``undecided``.
        headline: The answer in one sentence.
        gain: Expected gain over the plain student, as a fraction; NaN if there is no estimate.
        low: Lower end of its 80 % interval.
        high: Upper end of its 80 % interval.
        method: The method with the largest expected gain; empty if there is none.
        harm_risk: Probability that tail, worst group or worst class lose more than a point; NaN if unknown.
        evidence: One sentence each, with the runs and contexts behind it.
        reasons: Why there is no verdict; empty if there is one.
        seconds: Wall time.
        dataset: Name of the data.
        metric: The metric that the gain is in.
        region: ``helps``, ``equivalent``, ``harms`` or ``undecided``.
        margin: Margin of practical equivalence, as a fraction.
        student: The student.
        teacher: The teacher.
        provenance: ``full`` for a teacher that is trained on the data, or ``external``.
        initialisation: ``scratch`` or ``pretrained``: how the student of this advice starts.
        settings: What to train with: steps, learning rate by method.
        cost: Seconds of one full training, by part; empty if unknown.
        rungs: What the race found, rung by rung.
        alarms: The alarms of the data's profile.
        what_if: How the gain moves with data and length.
        next_step: The cheapest experiment that would make the answer more certain.
        base: Numbers of contexts and base sets of the evidence base; empty without one.
        folder: Where the runs, the page and this answer are kept.

    Example:
        >>> Advice.__dataclass_fields__["verdict"].type
        'AdviceVerdict'
    """

    verdict: AdviceVerdict
    headline: str
    gain: float
    low: float
    high: float
    method: str
    harm_risk: float
    evidence: tuple[EvidenceItem, ...]
    reasons: tuple[str, ...]
    seconds: float
    dataset: str
    metric: str
    region: Verdict
    margin: float
    student: str
    teacher: str
    provenance: str
    initialisation: str
    settings: Mapping[str, JsonValue]
    cost: Mapping[str, float]
    rungs: tuple[RungRow, ...]
    alarms: tuple[str, ...]
    what_if: WhatIf
    next_step: NextStep
    folder: Path
    base: Mapping[str, int] = field(default_factory=dict)

    @property
    def page(self) -> Path:
        """The page with the what-if sliders; one file, opens without a network."""
        return self.folder / "advice.html"

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the advice as JSON values: what ``--json`` prints. Keys are added, never renamed.

        Gains, intervals and the margin are fractions (0.02 is two points); what is not known is null.
        """
        return {
            "schema": ADVICE_VERSION,
            "verdict": self.verdict,
            "headline": self.headline,
            "gain": finite_or_none(self.gain),
            "ci_low": finite_or_none(self.low),
            "ci_high": finite_or_none(self.high),
            "confidence": ADVICE_CONFIDENCE,
            "method": self.method or None,
            "harm_risk": finite_or_none(self.harm_risk),
            "region": self.region,
            "reasons": list(self.reasons),
            "metric": self.metric,
            "margin": self.margin,
            "dataset": self.dataset,
            "student": self.student,
            "teacher": self.teacher,
            "provenance": self.provenance,
            "initialisation": self.initialisation,
            "settings": dict(self.settings),
            "cost": {name: round(seconds, 3) for name, seconds in self.cost.items()},
            "evidence": [item.as_dict() for item in self.evidence],
            "race": [
                {name: finite_or_none(value) if isinstance(value, float) else value for name, value in row}
                for row in (list(each.__dict__.items()) for each in self.rungs)
            ],
            "alarms": list(self.alarms),
            "what_if": self.what_if.as_dict(),
            "next": {"text": self.next_step.text, "command": self.next_step.command or None},
            "base": dict(self.base),
            "folder": str(self.folder),
            "page": str(self.page),
            "seconds": round(self.seconds, 2),
        }

    def __str__(self) -> str:
        return self.headline

    def _repr_html_(self) -> str:
        """Return the evidence as a table, for notebooks."""
        return html_table(self.headline, [(item.kind, item.text) for item in self.evidence], ("from", ""))


def points(value: float) -> str:
    """Return a fraction in points of a hundred, with its sign.

    Example:
        >>> points(0.0213), points(-0.001)
        ('+2.1', '-0.1')
    """
    return f"{100 * value:+.1f}"


def interval_text(low: float, high: float) -> str:
    """Return an interval in points.

    Example:
        >>> interval_text(0.009, 0.033)
        '80 % interval +0.9 to +3.3'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"the {100 * ADVICE_CONFIDENCE:.0f} % interval is unbounded"
    return f"{100 * ADVICE_CONFIDENCE:.0f} % interval {ends_text(low, high)}"


def ends_text(low: float, high: float) -> str:
    """Return the ends of an interval in points.

    Example:
        >>> ends_text(0.009, 0.033), ends_text(-math.inf, math.inf)
        ('+0.9 to +3.3', 'unbounded')
    """
    return f"{points(low)} to {points(high)}" if math.isfinite(high - low) else "unbounded"
