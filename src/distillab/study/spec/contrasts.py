"""Declared contrasts: read with the methods, factors and levels of their study."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import ValidationError

from distillab.errors import RequestError, read_each, unknown_name
from distillab.factors import Factor, Level, level_text, reference_level
from distillab.spelling import canonical_keys, canonical_word
from distillab.study.spec.evidence import ContrastSpec
from distillab.study.spec.forms import canonical_factor
from distillab.study.spec.method_entries import canonical_method

if TYPE_CHECKING:
    from distillab.study.spec.study import StudySpec


def with_known_contrasts(spec: StudySpec) -> StudySpec:
    """Return a study whose declared contrasts have its methods, factors and levels in canonical form.

    Raises:
        RequestError: A contrast is none of the study: it has a method, factor, level, provenance or student
            that the study does not have, or it compares a level with itself.

    Example:
        >>> from distillab.study.spec.study import StudySpec
        >>> values = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> values |= dict(students="resnet8", methods=["kd"], evidence={"contrasts": ["dkd"]})
        >>> with_known_contrasts(StudySpec(**values))
        Traceback (most recent call last):
        distillab.errors.RequestError: evidence.contrasts.0: unknown method 'dkd', did you mean 'kd'? ...
    """
    evidence = spec.evidence
    if not evidence.contrasts:
        return spec
    reader = _ContrastReader(spec)
    try:
        contrasts = tuple(read_each(evidence.contrasts, reader.read))
    except RequestError as error:
        raise error.under("evidence", "contrasts") from error
    return spec.model_copy(update={"evidence": evidence.model_copy(update={"contrasts": contrasts})})


class _ContrastReader:
    """Reads contrasts with the names and levels of a study."""

    def __init__(self, spec: StudySpec) -> None:
        self._levels = {levels[0].name: levels for levels in spec.factor_levels()}
        self._several = [name for name, levels in self._levels.items() if len(levels) > 1]
        labels = [method.label for method in spec.method_specs()]
        self._methods = [label for label in labels if label != spec.evidence.baselines[0]]
        self._provenances = spec.teacher.provenance
        self._students = [student.label for student in spec.student_entries]
        self._metrics = spec.task_config().metrics

    def read(self, entry: ContrastSpec) -> ContrastSpec:
        method = canonical_method(entry.method)
        _require("method", method, self._methods, None)
        difference = entry.difference and canonical_word(entry.difference, self._levels)
        _require("factor", difference, self._several, "difference")
        _require("provenance", entry.provenance, self._provenances, "provenance")
        _require("student", entry.student, self._students, "student")
        _require("metric", entry.metric, self._metrics, "metric")
        at: dict[str, Level] = {}
        for name, written in canonical_keys(entry.at, self._levels).items():
            _require("factor", name, self._levels, "at")
            at[name] = _level(self._levels[name], written)
            if name == difference and at[name] == reference_level(self._levels[name]):
                others = [level for level in self._levels[name] if level.level != at[name]]
                raise RequestError(
                    f"{_quoted(at[name])} is the level that the others are compared with",
                    where=f"at.{name}",
                    allowed=_listed(others),
                )
        return entry.model_copy(update={"method": method, "difference": difference, "at": at})


def _level(levels: list[Factor], written: Level) -> Level:
    """Return a level of a factor from how it is written, such as 2 from ``x2``. Raises RequestError."""
    factor, level = levels[0], None
    with contextlib.suppress(ValidationError):  # what is no level of the factor is none of the study
        entry = {**factor.model_dump(), "level": canonical_factor(factor.name, written)}
        level = type(factor).model_validate(entry).level
    if level is None or level not in [each.level for each in levels]:
        raise RequestError(
            f"{factor.name} has no level {_quoted(written)}",
            where=f"at.{factor.name}",
            allowed=_listed(levels),
        )
    return level


def _require(noun: str, name: str | None, known: Collection[str], where: str | None) -> None:
    if name is not None and name not in known:
        raise unknown_name(noun, name, known, where=where)


def _listed(levels: list[Factor]) -> str:
    return ", ".join(_quoted(each.level) for each in levels)


def _quoted(level: Level) -> str:
    """Return a level as a study writes it, text in quotes."""
    return repr(level) if isinstance(level, str) else level_text(level)
