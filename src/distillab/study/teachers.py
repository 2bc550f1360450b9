"""Who teaches: one network, several together, the last of a chain, or the generation before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models import OutputShapes
from distillab.study.spec import StudySpec

if TYPE_CHECKING:
    from distillab.study.planner import Planner, _Arm, _Pairing

# What several networks do not have together.
FEATURES = frozenset({"embedding", "maps", "attention", "preactivations", "classifier", "teacher_classifier"})


@dataclass(frozen=True)
class One:
    """What tells a teacher's job from that of the study's only one: ``whose`` seeds, its ``model``, ``facts``
    of its specification and of its ``condition``, and the jobs that it ``needs``."""

    whose: str = "teacher"
    model: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    condition: Mapping[str, Any] = field(default_factory=dict)


THE_TEACHER = One()


def check(planner: Planner) -> None:
    """Raise RequestError, before anything trains, if a method cannot learn from the study's teachers."""
    spec, methods = planner.spec, planner.spec.method_specs()
    teacher = spec.teacher
    if teacher.models and not teacher.assistants:
        for method in methods:
            asked = sorted(method.asks & FEATURES) if method.distils else []
            if asked:
                raise RequestError(
                    f"method {method.label} needs a teacher's {asked[0]}, and several teachers together give "
                    "logits alone",
                    where="teacher.models",
                    allowed="methods that learn from logits, or one model",
                )
    planner.costs.check_pairs(teacher.asked, spec.students, methods)
    if teacher.generations > 1:
        for student in spec.students:
            planner.costs.check_pairs(student, [student], [each for each in methods if each.distils])


def storable(spec: StudySpec, kind: str) -> bool:
    """Whether it pays to store what a kind of teacher says: a generation teaches one student alone."""
    return kind != "none" and not (kind == "study" and spec.teacher.generations > 1)


def stored_shapes(planner: Planner) -> OutputShapes:
    """The shapes of what is stored of the study's teacher. Teachers that are weighed by their correctness are
    stored side by side, since it depends on the labels, and what is stored does not."""
    teacher = planner.spec.teacher
    shapes = planner.costs.shapes(teacher.asked)
    if teacher.combine != "correctness" or teacher.assistants:
        return shapes
    return replace(shapes, classes=shapes.classes * len(teacher.models))


def inputs(planner: Planner) -> dict[str, Any]:
    """How the study's normalised images become what given weights were trained on: x * scale + shift.

    Raises:
        RequestError: the numbers are not as many as the images have channels.
    """
    wanted = planner.spec.teacher.normalisation
    if wanted is None:
        return {}
    mean, std = (each.astype(np.float64) for each in planner.statistics)
    if not len(wanted.mean) == len(wanted.std) == len(mean):
        raise RequestError(
            f"the images have {len(mean)} channels, and there are {len(wanted.mean)} means and "
            f"{len(wanted.std)} standard deviations",
            where="teacher.normalisation",
            allowed="a number of each for every channel",
        )
    own_mean, own_std = np.array(wanted.mean), np.array(wanted.std)
    return {"inputs": {"scale": (std / own_std).tolist(), "shift": ((mean - own_mean) / own_std).tolist()}}


def study_teacher(pairing: _Pairing) -> str:
    """Enter the jobs of the study's teacher; the id of the one that teaches."""
    teacher = pairing.planner.spec.teacher
    job = _together(pairing) if teacher.models else pairing.teacher_job("study", One(model=teacher.whole))
    for place, assistant in enumerate(teacher.assistants, 1):
        taught = {"by": job, "method": parse_method("kd", "teacher.assistants").as_dict()}
        job = pairing.teacher_job("study", One(f"assistant {place}", assistant, {"taught": taught}, (job,)))
    return job


def _together(pairing: _Pairing) -> str:
    teacher = pairing.planner.spec.teacher
    jobs = tuple(
        pairing.teacher_job("study", One(f"teacher {place}" if place else "teacher", model))
        for place, model in enumerate(teacher.models)
    )
    return pairing.teacher_job("study", One("teachers", teacher.whole, {"members": list(jobs)}, jobs))


def last_generation(pairing: _Pairing, arm: _Arm) -> str:
    """Enter the generations before a student, each distilled by the arm's method from the one before, the
    first from the study's teacher; the id of the last of them."""
    job, _ = pairing.ask("study")
    code = {"code": arm.files} if arm.files else {}
    for number in range(1, pairing.planner.spec.teacher.generations):
        facts = {"taught": {"by": job, "method": arm.written}}
        job = pairing.teacher_job("self", One(f"generation {number}", pairing.student, facts, (job,), code))
    return job
