"""Lengths: how long the networks of a condition are trained, which the factor ``steps`` may vary."""

from __future__ import annotations

from collections.abc import Iterator

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Manipulation, Role, Steps
from distillab.study.job import TrainSet
from distillab.study.planning.conditions import Condition, Roles
from distillab.study.planning.context import PlanContext
from distillab.study.planning.planned_recipe import PlannedRecipe


class Lengths:
    """The recipes of a condition.

    Args:
        context: The study on its data.
        condition: The condition.

    Raises:
        RequestError: The factor varies teachers, and none is trained in the study.
    """

    def __init__(self, context: PlanContext, condition: Condition) -> None:
        self._context = context
        self._factor = next((each for each in condition.chain if isinstance(each, Steps)), None)
        trained = set(context.spec.teacher.provenance) - {"external"}
        if self._of("teacher") and not trained:
            raise RequestError(
                "no teacher is trained in the study",
                where="factors.steps.roles",
                allowed="transfer, or a teacher of provenance same or full",
            )

    def of_students(self, train: Examples) -> PlannedRecipe:
        """Return the recipe of the students, and of the teachers that are copies of them."""
        return self._context.recipe("student", train, self._of("transfer"))

    def of_teacher(self, provenance: TrainSet, train: Examples) -> PlannedRecipe:
        """Return the recipe of the study's teacher of a provenance."""
        return self._context.recipe(provenance, train, self._of("teacher"))

    def replace_checks(self, roles: Roles) -> tuple[Manipulation, ...]:
        """Return the manipulation checks of a condition, with the lengths that were planned for it."""
        others = (check for check in roles.checks if check.factor != Steps.name)
        return *others, *self._checks(roles)

    def _checks(self, roles: Roles) -> Iterator[Manipulation]:
        if factor := self._of("transfer"):
            usual = self._context.recipe("student", roles.transfer)
            yield factor.check_steps(self.of_students(roles.transfer).resolved.steps, usual.resolved.steps)
        if factor := self._of("teacher"):
            for which in taught_sets(self._context):
                if which != "self":
                    train = roles.teacher[which]
                    usual = self._context.recipe(which, train)
                    yield factor.check_steps(
                        self.of_teacher(which, train).resolved.steps, usual.resolved.steps
                    )

    def _of(self, role: Role) -> Steps | None:
        """Return the factor if it varies a role."""
        return self._factor if self._factor and role in self._factor.roles else None


def taught_sets(context: PlanContext) -> tuple[TrainSet, ...]:
    """Return what teachers of the study learn from. An external one is tested like those of ``self``."""
    provenances = context.spec.teacher.provenance
    return ("self", *(each for each in provenances if each != "external"))
