"""Decision rules: what the tables of a study must show for a claim to hold. A small, closed set of types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from distillab.methods import parse_method

Expectation = Literal["positive", "negative", "equivalent", "not positive", "not negative"]
"""Where the true value must lie, in the direction of improvement: ``positive`` is beyond the margin,
``negative`` beyond it on the other side, ``equivalent`` within it on both sides."""
FIRST: Literal["first"] = "first"
LAST: Literal["last"] = "last"
StrictNumber = Annotated[float, Field(strict=True, allow_inf_nan=False)]
RuleLevel = StrictNumber | str
"""A level as a study writes it, or ``first`` or ``last`` of the levels of its factor."""


def _label(entry: Any) -> Any:
    """Return the label of a method that is written as in a study: ``kd``, or ``{kd: {temperature: 2}}``."""
    return parse_method(entry, "").label if isinstance(entry, Mapping) else entry


MethodLabel = Annotated[str, BeforeValidator(_label)]


class _Written(BaseModel):
    """Base class of what a claim writes: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSelector(_Written):
    """Which runs of a study: those of a method, under one condition.

    Attributes:
        method: The method.
        at: Levels by factor. A factor with one level need not be named.
        provenance: What the teacher learned from, if the study has several.
        student: The student by name, if the study has several.

    Example:
        >>> RunSelector(method={"kd": {"temperature": 2}}).method
        'kd(temperature=2)'
    """

    method: MethodLabel
    at: dict[str, RuleLevel] = Field(default_factory=dict)
    provenance: str | None = None
    student: str | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the study must have."""
        return (self.method,)

    @property
    def selectors(self) -> tuple[RunSelector, ...]:
        """The selectors of runs that it consists of."""
        return (self,)

    def with_method(self, method: str) -> RunSelector:
        """Return the selector of the runs of another method under the same condition."""
        return RunSelector(method=method, at=self.at, provenance=self.provenance, student=self.student)


class _Expecting(_Written):
    """What rules on a difference have in common.

    Attributes:
        metric: The column of the tables.
        expect: Where the true difference must lie.
        margin: Half width of the region of practical equivalence; by default that of the study.
    """

    metric: str = "accuracy"
    expect: Expectation
    margin: Annotated[StrictNumber, Field(ge=0)] | None = None


class GainRule(RunSelector, _Expecting):
    """A gain, from the table of effects: a method against a baseline under one condition.

    Attributes:
        rule: ``gain``.
        baseline: What the method is compared with, one of the study's baselines.
        each: Whether several conditions may match, of which each must show what is expected.

    Example:
        >>> GainRule(rule="gain", method="kd", at={"size": "first"}, expect="positive").text
        'gain of kd (size: first) is positive'
    """

    rule: Literal["gain"]
    baseline: MethodLabel = "ce"
    each: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        return self.method, self.baseline

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"gain {_of(self, self.baseline)}{_metric(self.metric)} is {self.expect}"


class GainDifferenceRule(RunSelector, _Expecting):
    """How much a gain differs between levels of a factor, from the table of level effects.

    Attributes:
        rule: ``gain_difference``.
        factor: The factor.
        level: The level that is compared with the study's reference level, or ``trend``: the change of the
            gain from the lowest to the highest of at least three levels, along a line.
        baseline: What the method is compared with.

    Example:
        >>> rule = {"rule": "gain_difference", "method": "kd", "factor": "size", "expect": "negative"}
        >>> GainDifferenceRule(**rule, level="trend").text
        'change of the gain of kd over size (trend) is negative'
    """

    rule: Literal["gain_difference"]
    factor: str
    level: RuleLevel = LAST
    baseline: MethodLabel = "ce"

    @property
    def methods(self) -> tuple[str, ...]:
        return self.method, self.baseline

    @property
    def text(self) -> str:
        """The rule in words."""
        over = f"over {self.factor} ({_level(self.level)})"
        return f"change of the gain {_of(self, self.baseline)} {over}{_metric(self.metric)} is {self.expect}"


class PairTerm(_Written):
    """A difference between two groups of runs with the same seeds.

    Attributes:
        of: The runs.
        minus: What is subtracted from them.

    Example:
        >>> PairTerm(of={"method": "kd"}, minus={"method": "ce"}).text
        'kd minus ce'
    """

    of: RunSelector
    minus: RunSelector

    @property
    def selectors(self) -> tuple[RunSelector, ...]:
        """The selectors of runs that it consists of."""
        return self.of, self.minus

    @property
    def text(self) -> str:
        """The difference in words."""
        return f"{_of(self.of)[3:]} minus {_of(self.minus)[3:]}"


class DifferenceRule(PairTerm, _Expecting):
    """A difference between any two groups of runs, or between two such differences, paired by seed.

    It is computed from the table of results: gains under two teachers, a method under two conditions, the
    difference between two gains.

    Attributes:
        rule: ``difference``.
        versus: A second difference, which is subtracted from the first.

    Example:
        >>> runs = {"method": "kd", "provenance": "full"}, {"method": "kd", "provenance": "same"}
        >>> DifferenceRule(rule="difference", of=runs[0], minus=runs[1], expect="positive").text
        'kd (provenance: full) minus kd (provenance: same) is positive'
    """

    rule: Literal["difference"]
    versus: PairTerm | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the study must have."""
        return tuple(each.method for each in self.selectors)

    @property
    def selectors(self) -> tuple[RunSelector, ...]:
        return (self.of, self.minus, *(self.versus.selectors if self.versus else ()))

    @property
    def text(self) -> str:
        less = f", less {self.versus.text}," if self.versus else ""
        return f"{super().text}{less}{_metric(self.metric)} is {self.expect}"


class ScoreRule(RunSelector):
    """The mean of a metric over seeds, above or below a value.

    Attributes:
        rule: ``score``.
        metric: The column of the table of results.
        above: The mean must be above this value.
        below: The mean must be below this value.

    Example:
        >>> ScoreRule(rule="score", method="kd", above=0.2).text
        'accuracy of kd is above 0.2'
    """

    rule: Literal["score"]
    metric: str = "accuracy"
    above: StrictNumber | None = None
    below: StrictNumber | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> ScoreRule:
        if (self.above is None) == (self.below is None):
            raise ValueError("a score is `above` or `below` a value: write one of the two")
        return self

    @property
    def text(self) -> str:
        """The rule in words."""
        bound = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        return f"{self.metric} {_of(self)} is {bound}"


class ClassesRule(RunSelector):
    """How many classes a method changes: the share of those that gain or lose, corrected for their number.

    Attributes:
        rule: ``classes``.
        baseline: What the method is compared with.
        change: Classes that ``gain``, that ``lose``, or ``any`` of both.
        at_least: The smallest share of the classes with which the rule holds.

    Example:
        >>> ClassesRule(rule="classes", method="kd", at_least=0.1).text
        'at least 10 % of the classes change under kd'
    """

    rule: Literal["classes"]
    baseline: MethodLabel = "ce"
    change: Literal["any", "gain", "lose"] = "any"
    at_least: Annotated[StrictNumber, Field(gt=0, le=1)]

    @property
    def methods(self) -> tuple[str, ...]:
        return self.method, self.baseline

    @property
    def text(self) -> str:
        """The rule in words."""
        verb = "change" if self.change == "any" else self.change
        return (
            f"at least {100 * self.at_least:g} % of the classes {verb} under {_of(self, self.baseline)[3:]}"
        )


DecisionRule = Annotated[
    GainRule | GainDifferenceRule | DifferenceRule | ScoreRule | ClassesRule, Field(discriminator="rule")
]
"""One rule of a claim. All rules of a claim must hold."""


class TeacherCheck(_Written):
    """A check that teachers are better than the plain student.

    Attributes:
        check: ``teacher``.
        better_by: The least difference of the mean accuracies, as a fraction.
        at: Levels by factor; by default every condition.
        provenance: What the teacher learned from; by default every one.

    Example:
        >>> TeacherCheck(check="teacher", better_by=0.02).text
        'the teacher is at least 2 points more accurate than the plain student'
    """

    check: Literal["teacher"]
    better_by: StrictNumber = 0.0
    at: dict[str, RuleLevel] = Field(default_factory=dict)
    provenance: str | None = None

    @property
    def text(self) -> str:
        """The check in words."""
        where = _where(self.at, self.provenance)
        points = f"{100 * self.better_by:g}"
        return f"the teacher{where} is at least {points} points more accurate than the plain student"


class ScoreCheck(ScoreRule):
    """A check that a mean is above or below a value.

    Attributes:
        check: ``score``.

    Example:
        >>> ScoreCheck(check="score", method="ce", metric="accuracy", above=0.5).text
        'accuracy of ce is above 0.5'
    """

    check: Literal["score"]
    rule: Literal["score"] = "score"


ManipulationRule = Annotated[TeacherCheck | ScoreCheck, Field(discriminator="check")]
"""One check of a claim, beside those of the factors, which always count."""


def _of(runs: RunSelector, baseline: str = "ce") -> str:
    """Return ``of kd (size: 25)``, with the baseline if it is not the plain student."""
    over = f" over {baseline}" if baseline != "ce" else ""
    return f"of {runs.method}{over}{_where(runs.at, runs.provenance, runs.student)}"


def _where(at: Mapping[str, RuleLevel], provenance: str | None, student: str | None = None) -> str:
    parts = [f"{factor}: {_level(level)}" for factor, level in at.items()]
    parts += [f"provenance: {provenance}"] if provenance else []
    parts += [student] if student else []
    return f" ({', '.join(parts)})" if parts else ""


def _level(level: RuleLevel) -> str:
    return level if isinstance(level, str) else f"{level:g}"


def _metric(name: str) -> str:
    return "" if name == "accuracy" else f" in {name.replace('_', ' ')}"
