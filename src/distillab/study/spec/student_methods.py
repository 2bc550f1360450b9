"""Which methods the students of a study are trained with, in stages before and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillab.errors import RequestError, unknown_name
from distillab.methods import MethodSpec, parse_method
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.starting import StageSpec
from distillab.study.spec.student import StudentEntry

if TYPE_CHECKING:
    from distillab.study.spec.study import StudySpec


def stage_methods(spec: StudySpec, student: StudentEntry) -> list[MethodSpec | None]:
    """Return the method of each stage that a student starts from; None for the study's teacher.

    Raises:
        RequestError: A stage has an unknown method or setting, or a name that is an arm of the study with
            other settings.

    Example:
        >>> from distillab.study.spec.study import StudySpec
        >>> students = {"model": "resnet8", "start": ["teacher", {"method": "kd", "steps": 20}]}
        >>> values = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> spec = StudySpec(**values, students=students, methods=["kd"])
        >>> [method and method.label for method in stage_methods(spec, spec.student_entries[0])]
        [None, 'kd']
    """
    arms = spec.method_specs()
    return [_parsed(spec, stage, arms) if isinstance(stage, StageSpec) else None for stage in student.stages]


def _parsed(spec: StudySpec, stage: StageSpec, arms: list[MethodSpec]) -> MethodSpec:
    method = parse_method(stage.method, "", spec.base)
    if method.kind.matches_compute or method.kind.throughout:
        raise RequestError(
            f"{method.label} is as long as all of a student's training, and no stage of it",
            allowed="{method: ce, steps: N}",
        )
    alike = [arm.label for arm in arms if arm.name == method.name]
    if isinstance(stage.method, str) and alike and method.label not in alike:
        raise RequestError(
            f"{stage.method} has other settings among the methods ({', '.join(alike)})",
            allowed=f"`method:` with those settings, or {{{stage.method}: {{}}}} for the defaults",
        )
    return method


def labels_of(spec: StudySpec, student: StudentEntry) -> tuple[str, ...]:
    """Return the labels of the methods that a student is trained with, that of the plain student first.

    Raises:
        RequestError: A method of its own is none of the study's.

    Example:
        >>> from distillab.study.spec.study import StudySpec
        >>> values = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> students = {"model": "resnet8", "methods": ["dkd"]}
        >>> spec = StudySpec(**values, students=students, methods=["kd", "dkd"])
        >>> labels_of(spec, spec.student_entries[0])
        ('ce', 'dkd')
    """
    methods = spec.method_specs()
    every = [method.label for method in methods]
    # Without stages there is nothing to train in the place of.
    left_out = {method.label for method in methods if method.kind.throughout and not student.stages}
    own = [parse_method(entry, "methods", spec.base).label for entry in student.methods] or every
    if unknown := [label for label in own if label not in every]:
        raise unknown_name("method", unknown[0], every, where="methods")
    wanted = {PLAIN, *own} - left_out
    return tuple(label for label in every if label in wanted)


def check_students(spec: StudySpec) -> None:
    """Raise RequestError if a student starts from, or is trained with, what the study does not have.

    Example:
        >>> from distillab.study.spec.study import StudySpec
        >>> values = dict(study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"})
        >>> check_students(StudySpec(**values, students={"model": "resnet8", "start": "kdd"}, methods=["kd"]))
        Traceback (most recent call last):
        distillab.errors.RequestError: students.0.start: unknown method 'kdd', did you mean 'kd'? ...
    """
    entries = spec.student_entries
    controls = [method.label for method in spec.method_specs() if method.kind.throughout]
    if controls and not any(entry.stages for entry in entries):
        raise RequestError(
            f"{controls[0]} is the control of students that start from stages, and there are none",
            where="methods",
            allowed="a student with the key start, or methods without it",
        )
    for place, student in enumerate(entries):
        keys = ("students", str(place))
        try:
            labels_of(spec, student)
        except RequestError as error:
            raise error.under(*keys) from error
        try:
            stage = next((each for each in stage_methods(spec, student) if each is not None), None)
            if stage is not None and spec.tune:
                raise RequestError(
                    f"a study that tunes its methods does not train with {stage.label} before them, which "
                    "would need settings too",
                    allowed="`start: teacher`, or a start in a study without tune, with the chosen settings",
                )
        except RequestError as error:
            raise error.under(*keys, "start") from error
