"""Scales: the study of a claim at each size, by overriding keys of shared studies."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import yaml

from distillab.canonical import JsonObject
from distillab.errors import unknown_name

ClaimScale = Literal["smoke", "laptop", "full"]
SCALES: tuple[ClaimScale, ...] = get_args(ClaimScale)
BASES_FILE = "bases.yaml"


@cache
def study_bases() -> Mapping[str, Mapping[str, JsonObject]]:
    """Return the shared parts of studies, by name and scale.

    Example:
        >>> study_bases()["digits"]["laptop"]["data"]
        {'source': 'digits', 'val': 0.2, 'test': 0.3}
    """
    text = (files("distillab.claims") / BASES_FILE).read_text(encoding="utf-8")
    read: dict[str, dict[str, JsonObject]] = yaml.safe_load(text)
    return read


def study_at(
    base: str, study: JsonObject, overrides: Mapping[ClaimScale, JsonObject], scale: ClaimScale
) -> JsonObject:
    """Return the keys of a study at a scale: those of the base, then the claim's, then those of the scale.

    Args:
        base: The name of the shared part.
        study: The keys that the claim writes for all scales.
        overrides: The keys that it writes for single scales.
        scale: The scale.

    Raises:
        RequestError: There is no such base.

    Example:
        >>> study_at("digits", {"seeds": 12}, {"smoke": {"seeds": 2}}, "smoke")["seeds"]
        2
    """
    bases = study_bases()
    if base not in bases:
        raise unknown_name("base", base, bases, where="base")
    return override_keys(override_keys(bases[base][scale], study), overrides.get(scale) or {})


def override_keys(values: JsonObject, changes: JsonObject) -> JsonObject:
    """Return a mapping with changes. Mappings are merged key by key, everything else is replaced.

    None removes a key. A mapping that names a ``source`` replaces the whole mapping, since
    its other keys belong to that.

    Example:
        >>> values = {"recipe": {"steps": 9, "lr": 0.1}, "tune": {}}
        >>> override_keys(values, {"recipe": {"steps": 4}, "tune": None})
        {'recipe': {'steps': 4, 'lr': 0.1}}
        >>> override_keys({"data": {"source": "digits", "val": 0.2}}, {"data": {"source": "mnist5k"}})
        {'data': {'source': 'mnist5k'}}
    """
    merged: dict[str, object] = dict(values)
    for key, change in changes.items():
        held = merged.get(key)
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, Mapping) and isinstance(held, Mapping) and "source" not in change:
            merged[key] = override_keys(held, change)
        else:
            merged[key] = change
    return merged
