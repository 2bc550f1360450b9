"""Entries of ``methods`` as a study writes them: their spelling, their paths, and how they are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillab.canonical import JsonObject
from distillab.config import american_settings, canonical_settings
from distillab.methods import methods
from distillab.methods.user_methods import absolute, is_user_method


def canonical_method(entry: Any) -> Any:
    """Return a method's entry in canonical spelling. Entries of unregistered methods stay as they are.

    Example:
        >>> canonical_method({"cat_kd": {"normalize": True}})
        {'cat_kd': {'normalise': True}}
    """
    if isinstance(entry, str):
        return methods.canonical_name(entry)
    if not isinstance(entry, Mapping):
        return entry
    named = {
        methods.canonical_name(name) if isinstance(name, str) else name: own for name, own in entry.items()
    }
    return {
        name: canonical_settings(methods[name].Config, own) if _is_settings(name, own) else own
        for name, own in named.items()
    }


def american_method(entry: Any) -> Any:
    """Return a method's entry with the keys of its settings in American spelling. The name of the method
    stays as it is in tables of results."""
    if not isinstance(entry, Mapping):
        return entry
    return {
        name: american_settings(methods[name].Config, own) if _is_settings(name, own) else own
        for name, own in entry.items()
    }


def _is_settings(name: Any, own: Any) -> bool:
    return name in methods and isinstance(own, Mapping)


def placed_method(entry: Any, base: Path) -> Any:
    """Return a method's entry with absolute paths of files.

    Example:
        >>> placed_method({"kd": {}}, Path("studies"))
        {'kd': {}}
    """
    if isinstance(entry, Mapping):
        return {placed_method(name, base): settings for name, settings in entry.items()}
    return absolute(entry, base) if is_user_method(entry) else entry


def method_text(entry: str | JsonObject) -> str:
    """Return a method's entry in a few words, with the settings that are stated.

    Example:
        >>> method_text({"kd": {"temperature": 2}, "rkd": {}})
        'kd(temperature=2)+rkd'
    """
    if isinstance(entry, str):
        return entry.rpartition("/")[2]
    parts = []
    for name, settings in entry.items():
        stated = ", ".join(f"{key}={value}" for key, value in sorted((settings or {}).items()))
        parts.append(method_text(str(name)) + (f"({stated})" if stated else ""))
    return "+".join(parts)


def is_throughout(entry: Any) -> bool:
    """Return True if a method's entry is the control that trains in the place of stages.

    Example:
        >>> is_throughout("ce_throughout"), is_throughout({"ce_throughout": {}}), is_throughout("ce")
        (True, True, False)
    """
    names = list(entry) if isinstance(entry, Mapping) else [entry]
    return all(isinstance(name, str) and name in methods and methods[name].throughout for name in names)
