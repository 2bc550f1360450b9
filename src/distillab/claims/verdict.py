"""Verdicts on claims: what each rule found, and what follows for the claim at a scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from distillab.canonical import JsonObject
from distillab.claims.rules import Expectation
from distillab.claims.scales import ClaimScale
from distillab.evidence.power import detectable_effect
from distillab.study.spec.seeds import LEAST_PAIRS

RuleAnswer = Literal["supported", "refuted", "undecided"]
ClaimAnswer = Literal["supported", "refuted", "undecided", "not tested"]
CLAIM_ANSWERS: tuple[ClaimAnswer, ...] = ("supported", "refuted", "undecided", "not tested")
POWER_OF_CLAIMS = 0.8


@dataclass(frozen=True)
class RuleFinding:
    """What the tables of a study show about a rule.

    Attributes:
        rule: The rule in words.
        answer: ``supported`` if the interval lies within what the rule expects, ``refuted`` if it lies
            outside of it, else ``undecided``.
        estimate: The estimate; None if no run is left to estimate it from.
        low: Lower end of its interval; None if that is infinite, or if there is none.
        high: Upper end.
        n_pairs: Number of seeds behind it.
        margin: The margin; None for rules without one.
        could_see: The smallest true difference that such a study finds in 80 % of cases, the margin included;
            None if it finds none, and for rules on something else.
        least: The lower end of what the rule expects, in the direction of the metric; None for no end.
        most: The upper end.
        unit: ``points`` if numbers are fractions that texts show as points, ``nats``, or ``share``.
        note: Why there is no answer, if there is none.

    Example:
        >>> finding = RuleFinding("gain of kd is positive", "supported", 0.021, 0.014, 0.028, 10, 0.01, 0.017)
        >>> finding.text
        'gain of kd is positive: supported, +2.1 [1.4, 2.8] points over 10 seeds; could have seen 1.7 points'
    """

    rule: str
    answer: RuleAnswer
    estimate: float | None
    low: float | None
    high: float | None
    n_pairs: int
    margin: float | None = None
    could_see: float | None = None
    least: float | None = None
    most: float | None = None
    unit: Literal["points", "nats", "share"] = "points"
    note: str = ""

    @property
    def text(self) -> str:
        """The finding in words."""
        words = f"{self.rule}: {self.answer}"
        if self.estimate is not None:
            words += f", {self.measured} over {self.n_pairs} seeds"
        if self.could_see is not None:
            words += f"; {self.power}"
        return f"{words} ({self.note})" if self.note else words

    @property
    def measured(self) -> str:
        """The estimate with its interval and unit."""
        if self.estimate is None:
            return "nothing measured"
        if self.unit == "share":
            return f"{100 * self.estimate:.0f} % of the classes"
        scale, sign = (100.0, "+") if self.unit == "points" else (1.0, "+")
        digits = 1 if self.unit == "points" else 3
        sign = "" if self.margin is None else sign
        low, high = (
            infinite if end is None else f"{scale * end:.{digits}f}"
            for end, infinite in ((self.low, "-inf"), (self.high, "inf"))
        )
        return f"{scale * self.estimate:{sign}.{digits}f} [{low}, {high}] {self.unit}"

    @property
    def power(self) -> str:
        """The power in words; empty if there is none."""
        if self.could_see is None:
            return ""
        seen = f"{100 * self.could_see:.1f}" if self.unit == "points" else f"{self.could_see:.3f}"
        return f"could have seen {seen} {self.unit}"


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim at a scale.

    Attributes:
        claim: The id of the claim.
        version: Its version.
        scale: The scale.
        verdict: ``supported`` if all rules are, ``refuted`` if one is, ``undecided`` otherwise, and
            ``not tested`` if a manipulation check failed or runs are missing.
        because: The reason in one sentence.
        findings: What was found about each rule.
        dataset: The name of the data.
        runs: Number of finished runs of students.
        failed: Number of failed ones.
        minutes: Minutes of training, summed over workers.
        waiting: Number of runs that have not finished.

    Example:
        >>> ClaimVerdict("demo", 1, "smoke", "undecided", "2 seeds: no verdict below 5.").as_dict()["verdict"]
        'undecided'
    """

    claim: str
    version: int
    scale: ClaimScale
    verdict: ClaimAnswer
    because: str
    findings: tuple[RuleFinding, ...] = ()
    dataset: str = ""
    runs: int = 0
    failed: int = 0
    minutes: float = 0.0
    waiting: int = 0

    @property
    def complete(self) -> bool:
        """Whether every run of the study has ended well."""
        return not self.failed and not self.waiting

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        values = asdict(self)
        values["findings"] = [
            {**asdict(each), "text": each.text, "power": each.power} for each in self.findings
        ]
        return values


def expected_region(expect: Expectation, margin: float) -> tuple[float, float]:
    """Return the open interval in which an improvement must lie.

    Example:
        >>> expected_region("not positive", 0.01)
        (-inf, 0.01)
    """
    regions: dict[Expectation, tuple[float, float]] = {
        "positive": (margin, math.inf),
        "negative": (-math.inf, -margin),
        "equivalent": (-margin, margin),
        "not positive": (-math.inf, margin),
        "not negative": (-margin, math.inf),
    }
    return regions[expect]


def answer_of(low: float, high: float, region: tuple[float, float], n_pairs: int) -> RuleAnswer:
    """Return the answer that an interval gives about a region; below five pairs there is none.

    Example:
        >>> answer_of(0.02, 0.04, (0.01, math.inf), n_pairs=10), answer_of(0.0, 0.04, (0.01, math.inf), 10)
        ('supported', 'undecided')
        >>> answer_of(-0.004, 0.006, (0.01, math.inf), n_pairs=10)
        'refuted'
    """
    if n_pairs < LEAST_PAIRS:
        return "undecided"
    least, most = region
    if least <= low and high <= most:
        return "supported"
    return "refuted" if high <= least or low >= most else "undecided"


def least_difference(sd_of_mean: float, n_pairs: int, margin: float, alpha: float) -> float | None:
    """Return the smallest true difference that is found beyond the margin with a power of 80 %, or None.

    Args:
        sd_of_mean: Standard error of the mean difference.
        n_pairs: Number of pairs.
        margin: The margin.
        alpha: 1 - confidence of the interval.

    Example:
        >>> round(least_difference(0.002, 10, margin=0.01, alpha=0.05), 4)
        0.0163
    """
    if n_pairs < LEAST_PAIRS or not math.isfinite(sd_of_mean):
        return None
    return margin + detectable_effect(n_pairs, sd_of_mean * math.sqrt(n_pairs), POWER_OF_CLAIMS, alpha)


def combined(findings: Sequence[RuleFinding]) -> tuple[ClaimAnswer, str]:
    """Return the answer that the findings on all rules of a claim give, and the reason.

    Example:
        >>> combined([RuleFinding("kd helps", "refuted", 0.0, -0.001, 0.001, 10, 0.01, 0.012)])[0]
        'refuted'
    """
    for answer in ("refuted", "undecided"):
        found = next((each for each in findings if each.answer == answer), None)
        if found is not None:
            return found.answer, _sentence(found.text)
    return "supported", _sentence("; ".join(each.text for each in findings))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
