"""Refusals of students that keep stages, and of methods that graft what is not kept of the teacher."""

from __future__ import annotations

from collections.abc import Iterable

from distillab.errors import RequestError
from distillab.models.kept_stages import KEEP
from distillab.study.job_parts import PlannedStart
from distillab.study.planning.context import PlanContext
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.spec.starting import TEACHER
from distillab.study.spec.student import StudentEntry


def must_keep(
    context: PlanContext,
    entry: StudentEntry,
    start: PlannedStart | None,
    methods: Iterable[PlannedMethod],
    costs: ModelCosts,
) -> None:
    """Raise RequestError unless a student can keep its stages under every method; note what it keeps.

    Args:
        context: The study on its data.
        entry: The student.
        start: What it starts from before its stages of training.
        methods: Those that it is trained with.
        costs: Builds its network.
    """
    if not entry.keep:
        return
    where = f"{context.spec.where}: students: {entry.label}"
    if start is None and not entry.stages:
        raise RequestError(
            f"`{KEEP}` keeps weights that the factor initialisation replaces by random ones",
            where=where,
            allowed=f"levels: [pretrained], or a student without `{KEEP}`",
        )
    longer = [method.label for method in methods if method.throughout]
    if longer and start is None:
        raise RequestError(
            f"{longer[0]} starts from random weights, of which there is nothing to keep",
            where=where,
            allowed=f"methods without {longer[0]}, or a student without `{KEEP}`",
        )
    try:
        kept = context.kept_stages(entry.model, costs, entry.keep)
    except RequestError as error:
        raise error.within(where) from error
    note = f"{entry.label}: {kept.text} are not trained, by any method, nor are their channel statistics."
    context.starts.notes[note] = None


def must_graft(
    context: PlanContext,
    entry: StudentEntry,
    methods: Iterable[PlannedMethod],
    costs: ModelCosts,
    teacher: tuple[str, ModelCosts],
    *,
    mapped: bool,
) -> None:
    """Raise RequestError if a method needs the teacher itself and cannot serve a student.

    What such a method takes from the teacher besides its outputs, its plain student must have as well: so the
    student starts from the teacher, and keeps under every method what this one keeps.

    Args:
        context: The study on its data.
        entry: The student.
        methods: Those that it is trained with, also in stages before.
        costs: Builds its network.
        teacher: The network that teaches, and what builds it.
        mapped: Whether the classes of the teacher are others, or in another order.
    """
    for method in methods:
        if "teacher_network" not in method.spec.teacher_needs:
            continue
        where = f"{context.spec.where}: method {method.label}"
        if mapped:
            raise RequestError(
                "needs a teacher of the student's classes in their order",
                where=where,
                allowed="such a teacher, or a method that learns from logits",
            )
        context.check_networks(method, entry.model, costs, *teacher)
        if entry.start[:1] != (TEACHER,):
            raise RequestError(
                f"trains blocks inside the teacher, and {entry.label} does not start from it, nor does its "
                "plain student",
                where=where,
                allowed=f"{{model: {entry.model}, start: teacher, {KEEP}: N}}, whose first N stages "
                "no method trains",
            )
        stages = len(costs.shapes(entry.model).maps)
        if entry.keep >= stages:
            raise RequestError(
                f"`{KEEP}: {entry.keep}` of {entry.label} leaves no stage to train inside the teacher",
                where=where,
                allowed=f"at most {stages - 1}",
            )
