"""What can be named in a study file, with one line about each: what ``distillab list`` prints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from distillab.factors import factors
from distillab.methods import methods
from distillab.models import list_models
from distillab.sources import sources

Entry = dict[str, Any]


def _line(entry: Any) -> str:
    return (inspect.getdoc(entry) or "").strip().split("\n")[0]


def _keys(fields: Iterable[str], hidden: Iterable[str] = ()) -> list[str]:
    return [name for name in fields if name not in set(hidden)]


def _sources() -> list[Entry]:
    return [
        {"name": name, "about": _line(sources[name]), "keys": _keys(sources[name].model_fields)}
        for name in sources
    ]


def _factors() -> list[Entry]:
    return [
        {"name": name, "about": _line(factors[name]), "keys": _keys(factors[name].model_fields, ["level"])}
        for name in factors
    ]


def _models() -> list[Entry]:
    return [{"name": model.name, "about": model.summary} for model in list_models()]


def _methods() -> list[Entry]:
    return [
        {
            "name": name,
            "about": _line(methods[name]),
            "paper": methods[name].paper,
            "teacher": methods[name].teacher,
            "needs": sorted(methods[name].needs),
            "config": methods[name].Config().model_dump(mode="json"),
        }
        for name in methods
    ]


CATALOGUE: dict[str, Callable[[], list[Entry]]] = {
    "sources": _sources,
    "factors": _factors,
    "models": _models,
    "methods": _methods,
}
