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
from distillab.factors.factor import (
    Configuration,
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Role,
    factors,
    level_text,
)

_FORMS = "a list of levels such as [25, 100], or a mapping with 'levels' and the factor's other keys"


MOST_LEVELS_OF_A_FACTOR = 1000
"""Levels that a factor of a study may have."""


def parse_factors(entries: Mapping[str, object], where: str, base: Path | None = None) -> list[list[Factor]]:
    """Return one list of instances per factor of a study, in written order, one instance per level.

    Args:
        entries: A study's ``factors``, such as
            ``{"size": [25, 100], "label_noise": {"levels": [0, 0.4], "roles": ["transfer"]}}``.
        where: The place of the mapping, such as ``study.yaml: factors``.
        base: The folder that relative paths are relative to (that of the study file).

    Raises:
        RequestError: A factor, key or role is unknown, there are no levels, levels mix numbers and names, or
            a level is repeated or impossible.

    Example:
        >>> [levels] = parse_factors({"size": [25, 100]}, "study.yaml: factors")
        >>> [factor.description for factor in levels]
        ['25 examples per class', '100 examples per class']
    """
    if not isinstance(entries, Mapping):
        raise RequestError(
            f"factors must be a mapping, not {_described(entries)}",
            where=where,
            allowed="factor names as keys",
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
    levels = _listed(options.pop("levels", None), place)
    made = [_factor(kind, {**options, "level": level}, base, place, known) for level in levels]
    if len({isinstance(factor.level, str) for factor in made}) > 1:
        written = ", ".join(level_text(factor.level) for factor in made)
        raise RequestError(
            f"levels mix numbers and names: {written}", where=place, allowed="numbers alone, or names alone"
        )
    if len({factor.phrase for factor in made}) > 1:
        written = ", ".join(factor.description for factor in made)
        raise RequestError(f"levels mix units: {written}", where=place, allowed="one unit for all levels")
    for index, factor in enumerate(made):
        if factor.level in [earlier.level for earlier in made[:index]]:
            raise RequestError(
                f"level {level_text(factor.level)} is written twice", where=place, allowed="each level once"
            )
    return made


def _listed(levels: Any, place: str) -> list[Any] | tuple[Any, ...]:
    """Return the levels that are written. Raises RequestError unless they are a list of some."""
    if not isinstance(levels, list | tuple):
        raise RequestError(f"levels must be a list, not {_described(levels)}", where=place, allowed=_FORMS)
    if not levels:
        raise RequestError("there are no levels", where=place, allowed="at least one")
    if len(levels) > MOST_LEVELS_OF_A_FACTOR:
        raise RequestError(
            f"{len(levels):,} levels are too many",
            where=place,
            allowed=f"at most {MOST_LEVELS_OF_A_FACTOR:,}",
        )
    return levels


def reference_level(levels: Sequence[Factor]) -> Level:
    """Return the level of a factor that a study compares the others with: one without the manipulation,
    otherwise the first.

    Args:
        levels: One instance per level of the study.

    Example:
        >>> [noise] = parse_factors({"label_noise": [0.4, 0.0]}, "factors")
        >>> reference_level(noise)
        0.0
    """
    neutral = (each.level for each in levels if each.level in each.references)
    return next(neutral, levels[0].level)


def _factor(
    kind: type[Factor], values: Configuration, base: Path | None, place: str, known: Sequence[str]
) -> Factor:
    try:
        return kind.model_validate(values, context={"base": base})
    except ValidationError as error:
        raise validation_error(error, place, known) from error


def _described(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


ApplyFactor = Callable[[Examples, Factor, int, FactorContext | None], tuple[Examples, Manipulation]]


def apply_factor(
    examples: Examples, factor: Factor, seed: int, context: FactorContext | None = None
) -> tuple[Examples, Manipulation]:
    """Apply one factor, whatever the role of the examples.

    Args:
        examples: The set to change.
        factor: The factor.
        seed: Seed of the condition.
        context: The dataset around the examples.

    Returns:
        The changed set, and the measured strength of the change.

    Raises:
        RequestError: The examples cannot reach the level.

    Example:
        >>> from distillab.factors import Size
        >>> examples = Examples.of(np.zeros((6, 1, 4, 4), np.uint8), [0, 0, 0, 1, 1, 1], ("a", "b"))
        >>> fewer, check = apply_factor(examples, Size(level=2), seed=0)
        >>> len(fewer), check.passed
        (4, True)
    """
    made = factor.apply(examples, generator(factor, seed), context)
    return made, factor.check(examples, made)


def generator(factor: Factor, seed: int) -> np.random.Generator:
    """Return the generator that a factor draws from, which depends on the factor's name and the seed alone.

    Example:
        >>> from distillab.factors import Size
        >>> draws = [generator(Size(level=level), 0).integers(2**63) for level in (25, 100)]
        >>> draws[0] == draws[1]
        np.True_
    """
    return np.random.default_rng(seed_from("factor", factor.name, seed))


def apply_chain(
    examples: Examples,
    chain: Sequence[Factor],
    role: Role,
    seed: int,
    step: ApplyFactor = apply_factor,
    context: FactorContext | None = None,
) -> tuple[Examples, list[Manipulation]]:
    """Apply, in order, the factors that change ``role``.

    Every factor draws from a generator that depends on its name and ``seed`` alone: the draws for an example
    are the same in every role, at every place in a chain and beside any other factor.

    Args:
        examples: The set of the role as it was read.
        chain: Factors in written order.
        role: The role of the examples.
        seed: Seed of the condition.
        step: Applies one factor; a planner passes a function that caches.
        context: The dataset around the examples.

    Returns:
        The changed set, and the measured strength of each factor applied.

    Raises:
        RequestError: The examples cannot reach a level, a factor does not accept their targets or modality,
            or a factor that needs labels follows one that added unlabelled examples.

    Example:
        >>> from distillab.factors import LabelNoise, Size
        >>> examples = Examples.of(np.zeros((8, 1, 4, 4), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> chain = [Size(level=2), LabelNoise(level=0.5, roles=("val",))]
        >>> noisy, checks = apply_chain(examples, chain, role="transfer", seed=0)
        >>> [check.factor for check in checks]
        ['size']
    """
    measured = []
    for factor in chain:
        if role in factor.roles:
            factor.check_accepts(examples)
            examples, strength = step(examples, factor, seed, context)
            measured.append(strength)
    return examples, measured
