"""ClaimSpec: a published statement with its prediction, its study and the rule that decides it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from distillab.canonical import JsonObject
from distillab.claims.rules import (
    FIRST,
    LAST,
    DecisionRule,
    GainDifferenceRule,
    GainRule,
    ManipulationRule,
    RuleLevel,
    RunSelector,
    TeacherCheck,
)
from distillab.claims.scales import SCALES, ClaimScale, study_at, study_bases
from distillab.config import NumericConfig
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.evidence.level_effects import TREND
from distillab.factors import Factor, level_text
from distillab.profile.claims import CLAIMS
from distillab.study.spec.environment import expand_environment
from distillab.study.spec.study import StudySpec, parse_study

Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ClaimSpec(NumericConfig):
    """A claim: what was published, what it predicts, and how a study decides it.

    Attributes:
        id: Its name, which never changes.
        version: Raised when the study or the rule changes, so that verdicts of different versions are not
            mixed.
        statement: The statement, in the words of this project.
        source: Where it was published.
        hypothesis: The id in ``docs/claims.md`` of the statement that profiles refer to, if there is one.
        contradiction: The name of a contradiction between published statements that it belongs to, if any.
        prediction: What the study shows if the statement holds.
        falsifier: What it shows if it does not.
        manipulation_check: What must have been varied for the study to say anything, in words.
        checks: The same as rules, beside the checks of the factors.
        needs_converged: Whether the students of its rules must have been trained to the end, as probes over
            twice the steps judge. False where the length of training is the question, and where a score is
            compared with a fixed value.
        decision_rule: What the tables must show; all rules must hold.
        study_of: The id of the claim whose study it shares, in place of ``base``, ``study``, ``scales`` and
            ``minutes``.
        base: The name of the shared part of its study.
        study: Keys of its study at all scales.
        scales: Keys of its study at single scales.
        minutes: Planned minutes by scale, as ``distillab plan`` estimates them for two workers; a scale that
            was not planned is left out.

    Example:
        >>> claim = ClaimSpec(
        ...     id="demo", version=1, statement="Distillation helps.", source="arXiv 1503.02531",
        ...     prediction="kd gains more than a point.", falsifier="It does not.",
        ...     manipulation_check="None.", base="digits", minutes={"laptop": 3},
        ...     decision_rule=[{"rule": "gain", "method": "kd", "expect": "positive"}],
        ...     study={"methods": ["ce", "kd"]},
        ... )
        >>> claim.study_values("smoke")["seeds"], claim.study_values("laptop")["study"]
        (2, 'claim-demo')
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    version: int = Field(ge=1)
    statement: Sentence
    source: Sentence
    hypothesis: str | None = None
    contradiction: Sentence | None = None
    prediction: Sentence
    falsifier: Sentence
    manipulation_check: Sentence
    checks: tuple[ManipulationRule, ...] = ()
    needs_converged: bool = True
    decision_rule: Annotated[tuple[DecisionRule, ...], Field(min_length=1)]
    study_of: str | None = None
    base: str = ""
    study: JsonObject = Field(default_factory=dict)
    scales: dict[ClaimScale, JsonObject] = Field(default_factory=dict)
    minutes: dict[ClaimScale, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )

    @field_validator("hypothesis")
    @classmethod
    def _documented(cls, key: str | None) -> str | None:
        if key is not None and key not in CLAIMS:
            raise unknown_name("statement", key, CLAIMS)
        return key

    @field_validator("base")
    @classmethod
    def _shared(cls, name: str) -> str:
        if name and name not in study_bases():
            raise unknown_name("base", name, study_bases())
        return name

    @field_validator("study", "scales")
    @classmethod
    def _named_by_claim(cls, values: Any) -> Any:
        for keys in (values, *(each for each in values.values() if isinstance(each, dict))):
            if "study" in keys:
                raise RequestError(
                    "the claim names its study", where="study", allowed="other keys of a study"
                )
        return values

    @model_validator(mode="after")
    def _has_one_study(self) -> Self:
        own = {"base", "study", "scales", "minutes"} & self.model_fields_set
        if self.study_of is None and not self.base:
            raise ValueError("key 'base' is missing (or 'study_of', for the study of another claim)")
        if self.study_of is not None and own:
            raise ValueError(
                f"study_of takes the place of {', '.join(sorted(own))}: leave out one or the other"
            )
        return self

    def sharing(self, owner: ClaimSpec) -> ClaimSpec:
        """Return the claim with the study of another one."""
        shared = ("base", "study", "scales", "minutes")
        return self.model_copy(update={name: getattr(owner, name) for name in shared})

    def study_values(self, scale: ClaimScale) -> JsonObject:
        """Return the keys of the study file at a scale."""
        values = study_at(self.base, self.study, self.scales, scale)
        return {"study": f"claim-{self.study_of or self.id}", **values}

    def study_spec(self, scale: ClaimScale) -> StudySpec:
        """Return the study at a scale, after a check that the rules can be read from its tables.

        Raises:
            RequestError: A key of the study, or a method, level, factor, provenance or student of a rule, is
                unknown.
        """
        where = f"claim {self.id} at scale {scale}"
        try:
            values = expand_environment(self.study_values(scale), where)
            spec = parse_study(values, Path.cwd(), where)
            _RuleCheck(spec).check(self)
        except RequestError as error:
            raise error if error.where and error.where.startswith(where) else error.within(where) from error
        return spec

    def as_dict(self, scale: ClaimScale) -> JsonObject:
        """Return the JSON form, with the study at a scale."""
        values = self.model_dump(mode="json", exclude={"base", "scales", "study"})
        values["decision_rule"] = [
            {**rule, "text": each.text}
            for rule, each in zip(values["decision_rule"], self.decision_rule, strict=True)
        ]
        return {**values, "scale": scale, "study": self.study_values(scale)}


class _RuleCheck:
    """Whether the rules of a claim can be read from the tables of its study."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.levels: dict[str, list[Factor]] = {each[0].name: each for each in spec.factor_levels()}
        self.methods = [method.label for method in spec.method_specs()]

    def check(self, claim: ClaimSpec) -> None:
        """Raise RequestError if a rule or check names what the study does not have."""
        for place, rule in self._entries(claim):
            try:
                self._check_one(rule)
            except RequestError as error:
                raise error.within(place) from error

    def _entries(self, claim: ClaimSpec) -> Iterator[tuple[str, Any]]:
        for key, rules in (("decision_rule", claim.decision_rule), ("checks", claim.checks)):
            for number, rule in enumerate(rules):
                yield f"{key}.{number}", rule

    def _check_one(self, rule: Any) -> None:
        if isinstance(rule, TeacherCheck):
            self._at(rule.at, rule.provenance, None)
        for selector in getattr(rule, "selectors", ()):
            self._selector(selector, given=rule.factor if isinstance(rule, GainDifferenceRule) else None)
        baselines = self.spec.evidence.baselines
        if isinstance(rule, GainRule | GainDifferenceRule) and rule.baseline not in baselines:
            raise unknown_name("baseline", rule.baseline, baselines)
        if isinstance(rule, GainDifferenceRule):
            self._factor(rule.factor)
            if rule.level != TREND:
                self._level(rule.factor, rule.level)
            elif len(self.levels[rule.factor]) < 3:
                raise RequestError(
                    f"a trend over {rule.factor} needs three levels", allowed="`level: last`, or more levels"
                )

    def _selector(self, runs: RunSelector, given: str | None) -> None:
        for method in runs.methods:
            if method not in self.methods:
                raise unknown_name("method", method, self.methods)
        self._at(runs.at, runs.provenance, runs.student)
        if getattr(runs, "each", False):
            return
        for name, levels in self.levels.items():
            if len(levels) > 1 and name not in runs.at and name != given:
                raise RequestError(f"a level of {name} is missing", where="at", allowed=_written(levels))
        for key, value, known in (
            ("provenance", runs.provenance, self.spec.teacher.provenance),
            ("student", runs.student, [each.label for each in self.spec.student_entries]),
        ):
            if value is None and len(known) > 1:
                raise RequestError(f"the {key} is missing", allowed=", ".join(known))

    def _at(self, at: dict[str, RuleLevel], provenance: str | None, student: str | None) -> None:
        for name, level in at.items():
            self._factor(name)
            self._level(name, level)
        known = {
            "provenance": (provenance, self.spec.teacher.provenance),
            "student": (student, [each.label for each in self.spec.student_entries]),
        }
        for key, (value, names) in known.items():
            if value is not None and value not in names:
                raise unknown_name(key, value, names)

    def _factor(self, name: str) -> None:
        if name not in self.levels:
            raise unknown_name("factor", name, self.levels)

    def _level(self, name: str, level: RuleLevel) -> None:
        resolve_level(level, [each.level for each in self.levels[name]], name)


def resolve_level(level: RuleLevel, levels: list[float | str], factor: str) -> float | str:
    """Return a level of a factor as the tables have it, given all of them in written order.

    Raises:
        RequestError: The factor has no such level.

    Example:
        >>> resolve_level("last", [5.0, 20.0], "size"), resolve_level(5, [5.0, 20.0], "size")
        (20.0, 5.0)
    """
    if level in (FIRST, LAST):
        return levels[0 if level == FIRST else -1]
    found = next((each for each in levels if each == level), None)
    if found is None:
        shown = ", ".join(map(level_text, levels))
        raise RequestError(
            f"{factor} has no level {level_text(level)}", where="at", allowed=f"{shown}, first, last"
        )
    return found


def _written(levels: list[Factor]) -> str:
    return ", ".join([*(level_text(each.level) for each in levels), FIRST, LAST])


def read_claim(text: str, where: str) -> ClaimSpec:
    """Return the claim that a text in YAML describes.

    Args:
        text: The text.
        where: The name of its file, for errors.

    Raises:
        RequestError: It is not YAML, or a key or value is not accepted.

    Example:
        >>> read_claim("id: demo", "demo.yaml")
        Traceback (most recent call last):
        distillab.errors.RequestError: demo.yaml: key 'version' is missing
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise RequestError(f"not valid YAML{place}", where=where) from error
    if not isinstance(values, dict):
        raise RequestError("a claim is a mapping of keys to values", where=where)
    try:
        return ClaimSpec.model_validate(values)
    except ValidationError as error:
        raise validation_error(error, "", ClaimSpec.model_fields).within(where) from error


def scale_named(name: str) -> ClaimScale:
    """Return a scale by its name.

    Raises:
        RequestError: There is no such scale.

    Example:
        >>> scale_named("smoke")
        'smoke'
    """
    for scale in SCALES:
        if scale == name:
            return scale
    raise unknown_name("scale", name, SCALES, where="--scale")
