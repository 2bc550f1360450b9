"""Declared contrasts: checked against the methods, factors and settings of their study."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from distillab.errors import RequestError, unknown_name

if TYPE_CHECKING:
    from distillab.study.spec.study import StudySpec

_PLACE = "evidence.contrasts"


def check_contrasts(spec: StudySpec) -> None:
    """Check that the contrasts that a study declares are among those that it makes.

    Raises:
        RequestError: A contrast names a method, factor, level, provenance or student that the study does not
            have.

    Example:
        >>> from distillab.study.spec.study import StudySpec
        >>> values = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> values |= dict(students="resnet8", methods=["kd"], evidence={"contrasts": ["dkd"]})
        >>> check_contrasts(StudySpec(**values))
        Traceback (most recent call last):
        distillab.errors.RequestError: evidence.contrasts: unknown method 'dkd', did you mean 'kd'? ...
    """
    if not spec.evidence.contrasts:
        return
    levels = {each[0].name: [factor.level for factor in each] for each in spec.factor_levels()}
    several = [name for name, values in levels.items() if len(values) > 1]
    methods = [method.label for method in spec.method_specs()]
    compared = [name for name in methods if name != spec.evidence.baselines[0]]
    students = [student.label for student in spec.student_entries]
    for entry in spec.evidence.contrasts:
        _require("method", entry.method, compared, _PLACE)
        for factor, level in entry.at.items():
            _require("factor", factor, levels, f"{_PLACE}.at")
            if level not in levels[factor]:
                raise RequestError(
                    f"{factor} has no level {_level(level)}",
                    where=f"{_PLACE}.at.{factor}",
                    allowed=", ".join(map(_level, levels[factor])),
                )
        _require("factor", entry.difference, several, f"{_PLACE}.difference")
        _require("provenance", entry.provenance, spec.teacher.provenance, f"{_PLACE}.provenance")
        _require("student", entry.student, students, f"{_PLACE}.student")


def _require(noun: str, name: str | None, known: Collection[str], where: str) -> None:
    if name is not None and name not in known:
        raise unknown_name(noun, name, known, where=where)


def _level(level: float | str) -> str:
    """Return a level as a study file writes it: a number without ``.0``, text in quotes."""
    return repr(level) if isinstance(level, str) else f"{level:g}"
