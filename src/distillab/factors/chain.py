"""Factors as a study writes them, and several of them applied in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from distillab.canonical import seed_from
from distillab.data.examples import Examples
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.factors.factor import Factor, FactorContext, Manipulation, Role, factors, level_text

WRITTEN = "a list of levels such as [25, 100], or a mapping with 'levels' and the factor's other keys"


def parse_factors(entries: Mapping[str, Any], where: str, base: Path | None = None) -> list[list[Factor]]:
    """For each factor of a study, in written order, one instance a level.

    Args:
        entries: a study's ``factors``, such as
            ``{"size": [25, 100], "label_noise": {"levels": [0, 0.4], "roles": ["transfer"]}}``.
        where: the place of the mapping, such as ``study.yaml: factors``.
        base: what relative paths are relative to (the study file's folder).

    Raises:
        RequestError: an unknown factor, key or role, no levels, levels of two sorts, or one that is double or
            impossible.
    """
    if not isinstance(entries, Mapping):
        raise RequestError(
            f"factors must be a mapping, not {_kind(entries)}", where=where, allowed="factor names as keys"
        )
    return [_levels(str(name), entry, where, base) for name, entry in entries.items()]


def _levels(name: str, entry: Any, where: str, base: Path | None) -> list[Factor]:
    if name not in factors:
        raise unknown_name("factor", name, factors, where=where)
    kind, place = factors[name], f"{where}.{name}"
    options = dict(entry) if isinstance(entry, Mapping) else {"levels": entry}
    known = ["levels", *(key for key in kind.model_fields if key != "level")]
    for key in options:
        if key not in known:
            raise unknown_name("key", str(key), known, where=place)
    levels = options.pop("levels", None)
    if not isinstance(levels, list | tuple):
        raise RequestError(f"levels must be a list, not {_kind(levels)}", where=place, allowed=WRITTEN)
    if not levels:
        raise RequestError("there are no levels", where=place, allowed="at least one")
    made = [_factor(kind, {**options, "level": level}, base, place, known) for level in levels]
    if len({isinstance(factor.level, str) for factor in made}) > 1:
        written = ", ".join(level_text(factor.level) for factor in made)
        raise RequestError(
            f"levels of two sorts: {written}", where=place, allowed="numbers alone, or names alone"
        )
    for index, factor in enumerate(made):
        if factor.level in [earlier.level for earlier in made[:index]]:
            raise RequestError(
                f"level {level_text(factor.level)} is written twice", where=place, allowed="each level once"
            )
    return made


def _factor(
    kind: type[Factor], values: dict[str, Any], base: Path | None, place: str, known: Sequence[str]
) -> Factor:
    try:
        return kind.model_validate(values, context={"base": base})
    except ValidationError as error:
        raise validation_error(error, place, known) from error


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


ApplyFactor = Callable[[Examples, Factor, int, FactorContext | None], tuple[Examples, Manipulation]]


def apply_factor(
    images: Examples, factor: Factor, seed: int, context: FactorContext | None = None
) -> tuple[Examples, Manipulation]:
    """Apply one factor, whatever role the images have; also its measured strength. Raises RequestError."""
    made = factor.apply(images, generator(factor, seed), context)
    return made, factor.check(images, made)


def generator(factor: Factor, seed: int) -> np.random.Generator:
    """What a factor draws from: it depends on the factor's name and the seed alone."""
    return np.random.default_rng(seed_from("factor", factor.name, seed))


def apply_chain(
    images: Examples,
    chain: Sequence[Factor],
    role: Role,
    seed: int,
    step: ApplyFactor = apply_factor,
    context: FactorContext | None = None,
) -> tuple[Examples, list[Manipulation]]:
    """Apply, in order, the factors that concern ``role``; also the measured strength of each.

    ``step`` is how one is applied: a planner passes one that caches. ``context`` is what
    lies around the images.

    Every factor draws from a generator that depends on its name and ``seed`` alone: an image meets the same
    fate in every role, at every place in a chain and beside any other factor.

    Raises:
        RequestError: a level that the images cannot give, or a factor that stands after images without labels
            were added and does not know what to do with them.
    """
    measured = []
    for factor in chain:
        if role in factor.roles:
            _must_be_labelled(images, factor)
            images, strength = step(images, factor, seed, context)
            measured.append(strength)
    return images, measured


def _must_be_labelled(images: Examples, factor: Factor) -> None:
    if not factor.takes_unlabelled and not images.labelled.all():
        raise RequestError(
            f"factor {factor.name} cannot change images without labels",
            where="factors",
            allowed="factors that add unlabelled images written last",
        )
