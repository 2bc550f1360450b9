"""What a kind of teacher consists of: one network, several together, a chain with assistants, generations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distillab.errors import RequestError
from distillab.methods import MethodSpec
from distillab.models.outputs import FEATURES
from distillab.study.spec.teacher import Provenance, TeacherSpec
from distillab.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class TeacherPart:
    """One network of those that a kind of teacher consists of.

    Attributes:
        seeds_of: The name that its seeds are drawn under.
        model: The network.
        made: How it comes to be: ``trained`` on labels, ``distilled`` from the part before it, an
            ``ensemble`` of all parts before it, or ``given``.
    """

    seeds_of: str
    model: str
    made: Literal["trained", "distilled", "ensemble", "given"]

    @property
    def is_trained(self) -> bool:
        """True if it takes training steps."""
        return self.made in ("trained", "distilled")


def teacher_chain(
    teacher: TeacherSpec, kind: str, provenance: Provenance, student: str
) -> tuple[TeacherPart, ...]:
    """Return the parts of a kind of teacher, each after those it needs; the last one teaches.

    Args:
        teacher: The teacher of the study.
        kind: ``study``, ``self`` (the student's own architecture) or ``untrained`` (a control).
        provenance: Of the study's teacher.
        student: The student's network.
    """
    if kind == "self":
        return (TeacherPart("teacher", student, "trained"),)
    if kind == "untrained":
        return (TeacherPart("teacher", teacher.last_model, "given"),)
    if teacher.models:
        members = (
            TeacherPart(f"teacher {place}" if place else "teacher", model, "trained")
            for place, model in enumerate(teacher.members)
        )
        first = (*members, TeacherPart("teachers", teacher.whole, "ensemble"))
    elif teacher.orbit:
        trained = TeacherPart("teacher", teacher.plain_network, "trained")
        first = (trained, TeacherPart("orbit", teacher.whole, "ensemble"))
    else:
        made: Literal["given", "trained"] = "given" if provenance == "external" else "trained"
        first = (TeacherPart("teacher", teacher.whole, made),)
    assistants = (
        TeacherPart(f"assistant {place}", model, "distilled")
        for place, model in enumerate(teacher.assistants, 1)
    )
    return (*first, *assistants)


def generations_before(teacher: TeacherSpec, student: str) -> tuple[TeacherPart, ...]:
    """Return the generations before a student, each distilled by the student's method from the one before,
    the first from the study's teacher."""
    return tuple(
        TeacherPart(f"generation {number}", student, "distilled") for number in range(1, teacher.generations)
    )


def must_give_what_methods_need(teacher: TeacherSpec, methods: list[MethodSpec]) -> None:
    """Raise RequestError, before anything trains, if a method cannot learn from several teachers together, or
    from the mean of one over an orbit."""
    if not (teacher.models or teacher.orbit) or teacher.assistants:
        return
    what, where = "several teachers together give", "teacher.models"
    if teacher.orbit:
        what, where = "the mean over an orbit gives", "teacher.orbit"
    for method in methods:
        needed = sorted(method.teacher_needs & FEATURES - {"teacher_network"}) if method.distils else []
        if needed:
            raise RequestError(
                f"method {method.label} needs a teacher's {needed[0]}, and {what} logits alone",
                where=where,
                allowed="methods that learn from logits, or one model",
            )


def must_have_momentum(methods: list[MethodSpec], recipe: Recipe) -> None:
    """Raise RequestError if a method with two momenta does not fit the optimizer of the recipe."""
    for method in methods:
        shift = method.momentum_shift
        if not shift:
            continue
        if recipe.optimiser != "sgd" or recipe.nesterov:
            given = "Nesterov's momentum" if recipe.nesterov else recipe.optimiser
            raise RequestError(
                f"method {method.label} has two momenta, and the recipe has {given}",
                where="recipe.nesterov" if recipe.nesterov else "recipe.optimizer",
                allowed="optimizer: sgd without nesterov, or another method",
            )
        if not shift <= recipe.momentum < 1 - shift:
            raise RequestError(
                f"method {method.label} needs a momentum from {shift:g} to below {1 - shift:g}, and it is "
                f"{recipe.momentum:g}",
                where="recipe.momentum",
                allowed="such a momentum, or a smaller delta",
            )


def must_be_mappable(teacher: TeacherSpec) -> None:
    """Raise RequestError if the outputs of the teachers cannot be mapped to other classes."""
    if teacher.models and teacher.combine == "correctness":
        raise RequestError(
            "combine: correctness compares every teacher with the student's own classes",
            where="teacher.combine",
            allowed="another way to combine, or students of the teacher's classes",
        )
