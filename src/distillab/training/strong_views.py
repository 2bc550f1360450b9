"""Strong views: a second, more strongly augmented view of every example, for methods that compare two."""

from __future__ import annotations

from dataclasses import replace

from distillab.canonical import seed_from
from distillab.data.examples import Examples
from distillab.modalities import modality_of
from distillab.training.recipe import ResolvedRecipe


def strong_recipe(train: Examples, recipe: ResolvedRecipe) -> ResolvedRecipe:
    """Return a recipe whose views are the strong ones: those of the recipe, then what its modality adds.

    Example:
        >>> import numpy as np
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((64, 3, 8, 8), np.uint8), [0, 1] * 32, ("a", "b"))
        >>> strong_recipe(images, Recipe().resolve(images)).view_spec.label
        'crop(pad=1), flip, rand_augment'
    """
    views = recipe.view_spec.strengthened(modality_of(train).strong_operation())
    return replace(recipe, views=views.written, pad=views.pad)


def original_recipe(recipe: ResolvedRecipe) -> ResolvedRecipe:
    """Return a recipe without views: examples as they are, in one epoch.

    Example:
        >>> import numpy as np
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((64, 3, 8, 8), np.uint8), [0, 1] * 32, ("a", "b"))
        >>> original_recipe(Recipe().resolve(images)).view_spec.count
        1
    """
    return replace(recipe, views="none", pad=0, steps=recipe.steps_per_epoch, views_kept=0)


def strong_view_seed(view_seed: int) -> int:
    """Return the seed of strong views: a function of that of the views, so that both are shared alike.

    Example:
        >>> strong_view_seed(3) == strong_view_seed(3) != strong_view_seed(4)
        True
    """
    return seed_from("strong views", view_seed)
