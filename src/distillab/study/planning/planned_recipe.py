"""Recipes resolved on a training set, before and after it is chosen how each network computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from distillab.canonical import Canonical
from distillab.data.examples import Examples
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
    def views_per_image(self) -> int:
        """Different views of an image over a training, at most."""
        return min(self.epochs, self.resolved.view_spec.count or self.epochs)

    def with_steps(self, steps: int) -> PlannedRecipe:
        """Return the recipe over another number of steps; its schedule is stretched."""
        return PlannedRecipe(self.recipe, replace(self.resolved, steps=steps))

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
