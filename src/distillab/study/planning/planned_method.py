"""What every condition of a plan meets alike: the methods, and the recipes for a number of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distillab.canonical import Canonical
from distillab.data.examples import Examples
from distillab.methods import MethodSpec
from distillab.study.job import StudentInputs
from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import Recipe, ResolvedRecipe


@dataclass(frozen=True, eq=False)
class PlannedMethod:
    """A method as every condition meets it."""

    label: str
    teacher: str
    teacher_needs: frozenset[str]
    written: Canonical
    files: Mapping[str, str]
    inputs: StudentInputs

    @classmethod
    def of(cls, spec: MethodSpec) -> PlannedMethod:
        written, files = Canonical(spec.as_dict()), spec.files
        return cls(spec.label, spec.teacher, spec.teacher_needs, written, files, StudentInputs(files))


@dataclass(frozen=True, eq=False)
class PlannedRecipe:
    """A resolved recipe, and how it is written."""

    resolved: ResolvedRecipe
    written: Canonical

    @classmethod
    def of(cls, recipe: Recipe, images: Examples, numerics: NumericsConfig) -> PlannedRecipe:
        resolved = recipe.resolve(images, numerics)
        return cls(resolved, Canonical(resolved.as_dict()))

    @property
    def images_seen(self) -> int:
        """Images that a training passes forward; to go back as well costs twice that again."""
        return self.resolved.steps * self.resolved.batch_size
