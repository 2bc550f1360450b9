"""Training: one teacher, or one cohort of students, trained by a recipe."""

from distillab.training.recipe import Recipe, ResolvedRecipe

__all__ = ["Recipe", "ResolvedRecipe"]
