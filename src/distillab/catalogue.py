"""The names that a study file can use, with one line about each: what ``distillab list`` prints."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

from distillab.canonical import JsonObject
from distillab.factors import factors
from distillab.methods import methods
from distillab.modalities import modalities
from distillab.modalities.views import operations
from distillab.models import list_models
from distillab.sources import sources
from distillab.tasks import tasks


@dataclass(frozen=True)
class CatalogueEntry:
    """A registered name.

    Attributes:
        name: The name.
        about: One line about it.
        details: Further facts by JSON key, such as the ``keys`` of a source or the ``paper`` of a method.
    """

    name: str
    about: str
    details: JsonObject = field(default_factory=dict)

    def as_dict(self) -> JsonObject:
        """Return the JSON form, which ``distillab list --json`` prints."""
        return {"name": self.name, "about": self.about, **self.details}


def _summary(entry: object) -> str:
    return (inspect.getdoc(entry) or "").strip().split("\n")[0]


def _sources() -> list[CatalogueEntry]:
    return [
        CatalogueEntry(name, _summary(sources[name]), {"keys": list(sources[name].model_fields)})
        for name in sources
    ]


def _factors() -> list[CatalogueEntry]:
    return [
        CatalogueEntry(
            name,
            _summary(factors[name]),
            {"keys": [key for key in factors[name].model_fields if key != "level"]},
        )
        for name in factors
    ]


def _models() -> list[CatalogueEntry]:
    return [CatalogueEntry(model.name, model.summary) for model in list_models()]


def _methods() -> list[CatalogueEntry]:
    return [
        CatalogueEntry(
            name,
            _summary(methods[name]),
            {
                "paper": methods[name].paper,
                "teacher": methods[name].teacher,
                "needs": sorted(methods[name].needs),
                "config": methods[name].Config().model_dump(mode="json"),
            },
        )
        for name in methods
    ]


def _tasks() -> list[CatalogueEntry]:
    return [
        CatalogueEntry(
            name,
            _summary(tasks[name]),
            {
                "keys": list(tasks[name].model_fields),
                "primary": tasks[name].primary,
                "metrics": list(tasks[name].metrics),
            },
        )
        for name in tasks
    ]


def _modalities() -> list[CatalogueEntry]:
    return [
        CatalogueEntry(
            name,
            _summary(type(modalities[name])),
            {"embedding": modalities[name].embedding, "views": _views(name)},
        )
        for name in modalities
    ]


def _views(modality: str) -> list[str]:
    return [name for name in operations if operations[name].modality in (None, modality)]


CATALOGUE: dict[str, Callable[[], list[CatalogueEntry]]] = {
    "sources": _sources,
    "factors": _factors,
    "models": _models,
    "methods": _methods,
    "tasks": _tasks,
    "modalities": _modalities,
}
