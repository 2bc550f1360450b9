"""Who teaches: one network, several together, the last of a chain, or the generation before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models import OutputShapes
from distillab.models.outputs import FEATURES
from distillab.study.job_parts import TRAINED, DistilledOrigin, EnsembleOrigin, Origin
from distillab.study.spec.study import StudySpec
from distillab.study.spec.teacher import TeacherSpec

if TYPE_CHECKING:
    from distillab.study.planning.planned_method import PlannedMethod
    from distillab.study.planning.planner import Planner
    from distillab.study.planning.student_jobs import Pairing

# What several networks do not have together.


@dataclass(frozen=True)
class One:
    """What tells a teacher's job from that of the study's only one: ``whose`` seeds, its ``model``, its
    ``origin``, the jobs that it ``needs``, and the ``code`` of its method."""

    whose: str = "teacher"
    model: str = ""
    origin: Origin = TRAINED
    needs: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)


THE_TEACHER = One()


def check(planner: Planner) -> None:
    """Raise RequestError, before anything trains, if a method cannot learn from several teachers."""
    methods, teacher = planner.spec.method_specs(), planner.spec.teacher
    if teacher.models and not teacher.assistants:
        for method in methods:
            asked = sorted(method.teacher_needs & FEATURES) if method.distils else []
            if asked:
                raise RequestError(
                    f"method {method.label} needs a teacher's {asked[0]}, and several teachers together give "
                    "logits alone",
                    where="teacher.models",
                    allowed="methods that learn from logits, or one model",
                )


def must_be_mappable(teacher: TeacherSpec) -> None:
    """Raise RequestError if what the teachers say cannot be told in other classes."""
    if teacher.models and teacher.combine == "correctness":
        raise RequestError(
            "combine: correctness asks every teacher about the student's own classes",
            where="teacher.combine",
            allowed="another way to combine, or students of the teacher's classes",
        )


def storable(spec: StudySpec, kind: str) -> bool:
    """Whether it pays to store what a kind of teacher says: a generation teaches one student alone."""
    return kind != "none" and not (kind == "study" and spec.teacher.generations > 1)


def stored_shapes(spec: StudySpec, shapes: OutputShapes) -> OutputShapes:
    """The shapes of what is stored of the study's teacher, which gives ``shapes``. Teachers that are weighed
    by their correctness are stored side by side: it depends on the labels, and what is stored does not."""
    teacher = spec.teacher
    if teacher.combine != "correctness" or teacher.assistants:
        return shapes
    return replace(shapes, classes=shapes.classes * len(teacher.models))


def study_teacher(pairing: Pairing) -> str:
    """Enter the jobs of the study's teacher; the id of the one that teaches."""
    teacher = pairing.planner.spec.teacher
    job = _together(pairing) if teacher.models else pairing.teacher_job("study", One(model=teacher.whole))
    for place, assistant in enumerate(teacher.assistants, 1):
        origin = DistilledOrigin(job, parse_method("kd", "teacher.assistants").as_dict())
        job = pairing.teacher_job("study", One(f"assistant {place}", assistant, origin, (job,)))
    return job


def _together(pairing: Pairing) -> str:
    teacher = pairing.planner.spec.teacher
    jobs = tuple(
        pairing.teacher_job("study", One(f"teacher {place}" if place else "teacher", model))
        for place, model in enumerate(teacher.models)
    )
    return pairing.teacher_job("study", One("teachers", teacher.whole, EnsembleOrigin(jobs), jobs))


def last_generation(pairing: Pairing, arm: PlannedMethod) -> str:
    """Enter the generations before a student, each distilled by the arm's method from the one before, the
    first from the study's teacher; the id of the last of them."""
    job, _ = pairing.ask("study")
    for number in range(1, pairing.planner.spec.teacher.generations):
        origin = DistilledOrigin(job, arm.written, pairing.class_map if number == 1 else None)
        generation = One(f"generation {number}", pairing.student, origin, (job,), arm.files)
        job = pairing.teacher_job("self", generation)
    return job
