"""PlannedMethod: a method of a study as every condition meets it; PlannedStage: one before the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from distillab.canonical import Canonical
from distillab.methods import MethodSpec
from distillab.methods.pair_defaults import for_pair
from distillab.models.outputs import LIVE, STORABLE
from distillab.study.job import StudentInputs
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.tasks import Task


@dataclass(frozen=True, eq=False)
class PlannedMethod:
    """A method as every condition meets it.

    Attributes:
        label: Its name with the settings that differ from their defaults.
        teacher: The kind of teacher it learns from: ``study``, ``self``, ``untrained`` or ``none``.
        storable_needs: The outputs of a teacher that it needs and that can be stored.
        learns_unlabelled: True if its batches hold unlabelled examples.
        can_be_stored: True if it needs no output that only a live teacher gives.
        views: Views of an example that its students pass per step: 2 if it needs strong ones.
        passes: What a step costs in forward passes of one view: a backward pass costs two.
        matches_compute: Whether its students train for as many more steps as the study's teacher costs.
        throughout: Whether its students train in the place of the stages that others start from as well.
        counts_teacher_training: Whether the training of that teacher is part of its cost.
        spec: The method as the study states it.
        inputs: The files that its code is read from, if it is not registered.
    """

    label: str
    teacher: str
    storable_needs: frozenset[str]
    learns_unlabelled: bool
    can_be_stored: bool
    views: int
    passes: int
    matches_compute: bool
    throughout: bool
    counts_teacher_training: bool
    spec: MethodSpec
    inputs: StudentInputs

    @classmethod
    def of(cls, spec: MethodSpec, task: Task) -> PlannedMethod:
        """Return what a plan needs to know of a method in a task.

        Outputs for all cells of an image are too large to be stored for every view.
        """
        views = 2 if "strong_view" in spec.needs else 1
        return cls(
            label=spec.label,
            teacher=spec.teacher,
            storable_needs=frozenset() if task.dense else spec.teacher_needs & STORABLE,
            learns_unlabelled=spec.learns_unlabelled,
            can_be_stored=not (task.dense or spec.teacher_needs & LIVE),
            views=views,
            passes=views * (5 if spec.momentum_shift else 3),
            matches_compute=spec.kind.matches_compute,
            throughout=spec.kind.throughout,
            counts_teacher_training=bool(getattr(spec.config, "teacher_training", False)),
            spec=spec,
            inputs=StudentInputs(spec.files),
        )

    def written(self, teacher: str, student: str) -> Canonical:
        """Return what decides its numbers for a pair of networks, whose names may decide settings."""
        return _written(self, teacher, student)


@dataclass(frozen=True)
class PlannedStage:
    """A stage before the methods of a study.

    Attributes:
        method: The method that a student is trained with; None if it gets the weights of the study's teacher.
        steps: Its number of steps; None for that of the recipe.
        epochs: The same in epochs.
        keep: The number of stages of the network that keep its weights in what comes after it.
    """

    method: PlannedMethod | None
    steps: int | None = None
    epochs: int | None = None
    keep: int = 0

    @property
    def text(self) -> str:
        """The stage in a few words."""
        if self.method is None:
            return "the teacher"
        length = f"{self.steps} steps" if self.steps else f"{self.epochs} epochs" if self.epochs else ""
        return f"the student after {self.method.label}" + (f" ({length})" if length else "")

    def recipe(self, recipe: PlannedRecipe) -> PlannedRecipe:
        """Return a recipe over the length of the stage."""
        steps = self.steps or (self.epochs and self.epochs * recipe.resolved.steps_per_epoch)
        return recipe.with_steps(steps) if steps else recipe


@lru_cache(maxsize=4096)
def _written(method: PlannedMethod, teacher: str, student: str) -> Canonical:
    return Canonical(for_pair(method.spec, teacher, student).as_dict())
