"""The two forms of a study: in canonical spelling, which identifies it, and in American spelling.

A study is identified by the content address of its canonical form. Some parts of it are kept as the user
wrote them; these functions change their spelling (:mod:`distillab.spelling`) and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from distillab.canonical import JsonObject
from distillab.config import american_settings, canonical_settings
from distillab.factors import Factor, factors
from distillab.modalities.views.written import american_names, canonical_names
from distillab.sources import Source
from distillab.study.spec.method_entries import american_method
from distillab.study.spec.starting import american_start
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.teacher import PROVENANCE_NAMES, TeacherSpec
from distillab.training.recipe import Recipe


def canonical_recipe(recipe: JsonObject) -> dict[str, object]:
    """Return keys of a recipe, or recipes by provenance, in canonical spelling.

    Example:
        >>> canonical_recipe({"full": {"optimizer": "adamw", "views": ["color_jitter"]}})
        {'full': {'optimiser': 'adamw', 'views': ['colour_jitter']}}
    """
    if recipe.keys() & PROVENANCE_NAMES:
        return {
            key: canonical_recipe(own) if isinstance(own, Mapping) else own for key, own in recipe.items()
        }
    settings = canonical_settings(Recipe, recipe)
    return settings | {"views": canonical_names(settings["views"])} if "views" in settings else settings


def american_recipe(recipe: JsonObject) -> dict[str, object]:
    """Return keys of a recipe, or recipes by provenance, in American spelling."""
    if recipe.keys() & PROVENANCE_NAMES:
        return {key: american_recipe(own) if isinstance(own, Mapping) else own for key, own in recipe.items()}
    settings = american_settings(Recipe, recipe)
    return settings | {"views": american_names(settings["views"])} if "views" in settings else settings


def canonical_factor(name: str, entry: Any) -> Any:
    """Return a factor's entry in canonical spelling.

    Example:
        >>> canonical_factor("selection", ["k_center", "random"])
        ['k_centre', 'random']
    """
    if name not in factors:
        return entry
    if not isinstance(entry, Mapping):
        return canonical_settings(factors[name], {"level": entry})["level"]
    settings = canonical_settings(factors[name], entry)
    if "levels" in settings:
        settings["levels"] = canonical_factor(name, settings["levels"])
    return settings


def american_teacher(teacher: JsonObject) -> dict[str, object]:
    """Return the keys of a teacher in American spelling."""
    return american_settings(TeacherSpec, teacher) | {"recipe": american_recipe(teacher["recipe"])}


def american_student(student: str | JsonObject) -> str | dict[str, object]:
    """Return the entry of a student with its keys in American spelling."""
    if isinstance(student, str):
        return student
    written = american_settings(StudentEntry, student)
    if "start" in written:
        written["start"] = american_start(written["start"])
    if "methods" in student:
        written["methods"] = [american_method(entry) for entry in student["methods"]]
    return written


def american_source(source: Source, entry: JsonObject) -> dict[str, object]:
    """Return the entry of a source in American spelling."""
    return american_settings(type(source), entry)


def with_paths(entry: Any, factor: Factor) -> Any:
    """Return a factor's entry with absolute paths."""
    if not isinstance(entry, Mapping):
        return entry
    return {**entry, **{key: str(value) for key, value in factor if isinstance(value, Path)}}


def leave_out(values: MutableMapping[str, object], model: BaseModel, young: tuple[str, ...]) -> None:
    """Delete default values of keys that are younger than some studies, which thus keep their identity."""
    for key in young:
        default = type(model).model_fields[key].get_default(call_default_factory=True)
        if getattr(model, key) == default:
            del values[key]
