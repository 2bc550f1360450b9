"""Recipes resolved on a training set, before and after it is chosen how each network computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from distillab.canonical import Canonical
from distillab.data.examples import Examples
from distillab.factors import LabelBudget
from distillab.factors.label_budget import FULL_BITS
from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import Recipe, ResolvedRecipe


@dataclass(frozen=True, eq=False)
class PlannedRecipe:
    """A recipe on a training set. All but its numerics is settled.

    Attributes:
        recipe: The recipe of the study.
        resolved: The recipe with every value fixed, under the usual numerics.
    """

    recipe: Recipe
    resolved: ResolvedRecipe

    @classmethod
    def of(cls, recipe: Recipe, train: Examples) -> PlannedRecipe:
        """Resolve a recipe on a training set."""
        return cls(recipe, recipe.resolve(train))

    @property
    def batch_size(self) -> int:
        """Examples per step, unlabelled ones included."""
        return self.resolved.images_per_step

    @property
    def images_seen(self) -> int:
        """Images that a training passes forward; the backward pass costs twice that again."""
        return self.resolved.images_seen

    @property
    def epochs(self) -> int:
        """Epochs begun."""
        return self.resolved.epochs

    @property
    def view_epochs(self) -> int:
        """Epochs with views of their own."""
        return self.resolved.view_epochs

    @property
    def views_per_image(self) -> int:
        """Different views of an image over a training, at most."""
        return min(self.view_epochs, self.resolved.view_spec.count or self.view_epochs)

    def with_steps(self, steps: int) -> PlannedRecipe:
        """Return the recipe over another number of steps; its schedule is stretched."""
        return PlannedRecipe(self.recipe, replace(self.resolved, steps=steps))

    def stopped_at(self, share: float) -> PlannedRecipe:
        """Return the recipe that ends after a share of its steps, on the schedule of all of them."""
        steps = self.resolved.steps
        stopped = max(1, round(share * steps))
        if stopped == steps:
            return self
        return PlannedRecipe(self.recipe, replace(self.resolved, steps=stopped, schedule_steps=steps))

    def with_label_budget(self, budget: LabelBudget, classes: int) -> PlannedRecipe:
        """Return the recipe with limits of what is kept of a teacher's outputs.

        Args:
            budget: The limits.
            classes: The number of classes; a limit that leaves out none, or one that is known from the
                others, is none.
        """
        top_k = budget.classes_kept if budget.classes_kept and budget.classes_kept < classes - 1 else 0
        bits = budget.bits_kept if budget.bits_kept < FULL_BITS else 0
        resolved = replace(self.resolved, views_kept=budget.views_kept, top_k=top_k, bits=bits)
        return PlannedRecipe(self.recipe, resolved)

    @cached_property
    def without_teacher(self) -> PlannedRecipe:
        """The recipe of students without a teacher, which have the same views."""
        if not self.resolved.top_k and not self.resolved.bits:
            return self
        return PlannedRecipe(self.recipe, replace(self.resolved, top_k=0, bits=0))

    def with_setting(self, lr: float, steps: int, weight_decay: float) -> PlannedRecipe:
        """Return the recipe with other values of what a study tunes."""
        resolved = replace(self.resolved, lr=lr, steps=steps, weight_decay=weight_decay)
        return PlannedRecipe(self.recipe, resolved)

    def under(self, chosen: NumericsConfig) -> WrittenRecipe:
        """Return the recipe with ``chosen`` numerics where it leaves them open."""
        used = self.recipe.numerics.resolve(chosen)
        resolved = replace(
            self.resolved,
            precision=used.precision,
            memory_format=used.memory_format,
            compile=used.compile,
        )
        return WrittenRecipe(resolved, Canonical(resolved.as_dict()))


@dataclass(frozen=True, eq=False)
class WrittenRecipe:
    """A recipe with every value fixed, and how it is written."""

    resolved: ResolvedRecipe
    written: Canonical


class RecipeWriter:
    """Writes recipes under the numerics of each network.

    Args:
        numerics: The numerics by network.
    """

    def __init__(self, numerics: Mapping[str, NumericsConfig]) -> None:
        self._numerics = numerics
        self._written: dict[tuple[PlannedRecipe, str], WrittenRecipe] = {}

    def write(self, recipe: PlannedRecipe, model: str) -> WrittenRecipe:
        """Return the recipe that a network is trained with."""
        key = recipe, model
        if key not in self._written:
            self._written[key] = recipe.under(self._numerics[model])
        return self._written[key]
