"""Lengths: how long the networks of a condition are trained and on what, as factors of networks vary it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import (
    Factor,
    LabelBudget,
    Manipulation,
    Role,
    Steps,
    TeacherAge,
    TeacherCapacity,
)
from distillab.models.outputs import FEATURES
from distillab.study.job import TrainSet
from distillab.study.planning.conditions import Condition, Roles
from distillab.study.planning.context import PlanContext
from distillab.study.planning.planned_recipe import PlannedRecipe

FactorT = TypeVar("FactorT", bound=Factor)
_PLANNED = (Steps.name, TeacherAge.name, TeacherCapacity.name, LabelBudget.name)


class Lengths:
    """The recipes of a condition: those of the study, under its factors of networks.

    Args:
        context: The study on its data.
        condition: The condition.

    Raises:
        RequestError: A factor varies teachers in a way that those of the study cannot vary, or outputs that a
            method learns from.
    """

    def __init__(self, context: PlanContext, condition: Condition) -> None:
        self._context, self._chain = context, condition.chain
        self._steps, self._age = self._find(Steps), self._find(TeacherAge)
        self._capacity, self._budget = self._find(TeacherCapacity), self._find(LabelBudget)
        teacher = context.spec.teacher
        trained = set(teacher.provenance) - {"external"}
        for factor in (self._of("teacher"), self._age, self._capacity):
            if factor and not trained:
                raise RequestError(
                    "no teacher is trained in the study",
                    where=f"factors.{factor.name}",
                    allowed="a teacher of provenance same or full",
                )
        if self._age and self._of("teacher"):
            raise RequestError(
                "steps and teacher_age both state how long teachers are trained",
                where="factors",
                allowed="one of the two, or `roles: [transfer]` for steps",
            )
        if self._capacity and (teacher.models or "external" in teacher.provenance):
            raise RequestError(
                "teacher_capacity replaces the one network of a teacher that is trained in the study",
                where="factors.teacher_capacity",
                allowed="`model`, with provenance same or full",
            )
        self._must_limit_logits()

    def of_students(self, train: Examples) -> PlannedRecipe:
        """Return the recipe of the students, and of the teachers that are copies of them."""
        recipe = self._context.recipe("student", train, self._of("transfer"))
        return self._context.limited(recipe, self._budget, len(train.classes)) if self._budget else recipe

    def of_teacher(self, provenance: TrainSet, train: Examples) -> PlannedRecipe:
        """Return the recipe of the study's teacher of a provenance."""
        return self._context.recipe(provenance, train, self._of("teacher"), self._age)

    def replace_checks(self, roles: Roles) -> tuple[Manipulation, ...]:
        """Return the manipulation checks of a condition, with what was planned for its networks."""
        others = (check for check in roles.checks if check.factor not in _PLANNED)
        return *others, *self._checks(roles)

    def _checks(self, roles: Roles) -> Iterator[Manipulation]:
        students = self.of_students(roles.transfer)
        if steps := self._of("transfer"):
            usual = self._context.recipe("student", roles.transfer)
            yield steps.check_steps(students.resolved.steps, usual.resolved.steps)
        if self._budget:
            yield self._check_budget(students, len(roles.transfer.classes))
        for which in taught_sets(self._context):
            if which == "self":
                continue
            train = roles.teacher[which]
            planned = self.of_teacher(which, train).resolved.steps
            usual_steps = self._context.recipe(which, train).resolved.steps
            if steps := self._of("teacher"):
                yield steps.check_steps(planned, usual_steps)
            if self._age:
                yield self._age.check_age(planned, usual_steps)
            if self._capacity:
                costs = self._context.costs(len(train.classes), train.shape)
                model = self._context.teacher_at({TeacherCapacity.name: self._capacity.level}).whole
                yield self._capacity.check_capacity(costs.macs(model), costs.macs(self._capacity.level))

    def _check_budget(self, recipe: PlannedRecipe, classes: int) -> Manipulation:
        budget, resolved = self._budget, recipe.resolved
        assert budget is not None
        most = {"views": recipe.epochs, "top_k": classes}.get(budget.unit)
        if most is not None and budget.level > most:
            counted = "epochs" if budget.unit == "views" else "classes"
            raise RequestError(
                f"there are {most} {counted}, and {budget.description} cannot be kept",
                where="factors.label_budget",
                allowed=f"levels up to {most}",
            )
        planned = {"views": resolved.view_epochs, "top_k": resolved.top_k, "bits": resolved.bits}[budget.unit]
        return budget.check_kept(planned or int(budget.level), resolved.view_epochs, classes)

    def _must_limit_logits(self) -> None:
        """Raise RequestError if a method learns from outputs that a budget of labels does not limit."""
        if self._budget is None or not self._budget.changes_outputs:
            return
        if "classification" not in self._context.task.kinds():
            raise RequestError(
                "top_k and bits limit softmax probabilities",
                where="factors.label_budget",
                allowed="task: classification, or unit: views",
            )
        if self._context.spec.teacher.combine == "correctness":
            raise RequestError(
                "combine: correctness needs all logits of every teacher",
                where="factors.label_budget",
                allowed="another way to combine, or unit: views",
            )
        for method in self._context.methods:
            needed = sorted(method.spec.teacher_needs & FEATURES) if method.spec.distils else []
            if needed:
                raise RequestError(
                    f"method {method.label} learns from a teacher's {needed[0]}, which a budget of soft "
                    "labels does not limit",
                    where="factors.label_budget",
                    allowed="methods that learn from logits alone, or unit: views",
                )

    def _of(self, role: Role) -> Steps | None:
        """Return the factor ``steps`` if it varies a role."""
        return self._steps if self._steps and role in self._steps.roles else None

    def _find(self, kind: type[FactorT]) -> FactorT | None:
        return next((each for each in self._chain if isinstance(each, kind)), None)


def taught_sets(context: PlanContext) -> tuple[TrainSet, ...]:
    """Return what teachers of the study learn from. An external one is tested like those of ``self``."""
    provenances = context.spec.teacher.provenance
    return ("self", *(each for each in provenances if each != "external"))
