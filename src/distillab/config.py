"""PublicConfig: the base class of what a person writes in a study file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.spelling import american, american_keys, canonical_keys, canonical_words


def expand_home(path: Path) -> Path:
    """Return a path with ``~`` replaced by the folder of the user.

    Raises:
        RequestError: There is no such user.

    Example:
        >>> expand_home(Path("leaves"))
        PosixPath('leaves')
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise RequestError(
            "the folder of this user is not known", where=str(path), allowed="a path without ~"
        ) from error


class NumericConfig(BaseModel):
    """A frozen configuration whose numbers are not ``true`` or ``false``, which Python takes for 1 and 0.

    Example:
        >>> class Recipe(NumericConfig):
        ...     lr: float
        >>> Recipe(lr=True)
        Traceback (most recent call last):
        pydantic_core._pydantic_core.ValidationError: 1 validation error for Recipe
        ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        wrong = next((each for each in several if isinstance(each, bool)), None)
        if wrong is not None and info.field_name:
            kinds = set(_types(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and not kinds & {bool, Any, object}:
                allowed = "a number" if float in kinds else "a whole number"
                raise RequestError(f"{wrong} is not accepted", allowed=allowed)
        return value


class PublicConfig(NumericConfig):
    """A frozen configuration. Its keys, and options that it lists as literals, have two spellings.

    Both spellings are read (:mod:`distillab.spelling`); attributes and dumps have the canonical one.

    Example:
        >>> class Recipe(PublicConfig):
        ...     optimiser: str = "sgd"
        >>> Recipe(optimizer="adamw").model_dump()
        {'optimiser': 'adamw'}
    """

    @model_validator(mode="before")
    @classmethod
    def _canonical_spelling(cls, values: Any) -> Any:
        return canonical_settings(cls, values) if isinstance(values, Mapping) else values


def canonical_settings(model: type[BaseModel], values: JsonObject) -> dict[str, object]:
    """Return settings of a configuration in canonical spelling, otherwise as they were written.

    Raises:
        ValueError: A key is written in both spellings.

    Example:
        >>> class Recipe(PublicConfig):
        ...     optimiser: str = "sgd"
        >>> canonical_settings(Recipe, {"optimizer": "adamw"})
        {'optimiser': 'adamw'}
    """
    options = _options(model)
    return {
        key: canonical_words(value, options[key]) if options.get(key) else value
        for key, value in canonical_keys(values, model.model_fields).items()
    }


def american_settings(model: type[BaseModel], values: JsonObject) -> dict[str, object]:
    """Return settings of a configuration with American keys and options, as people should read them.

    Example:
        >>> class Drawing(PublicConfig):
        ...     optimiser: str = "sgd"
        ...     define: Literal["shape", "colour"] = "shape"
        >>> american_settings(Drawing, {"optimiser": "adamw", "define": "colour"})
        {'optimizer': 'adamw', 'define': 'color'}
    """
    options = _options(model)
    spelled = {
        key: _american_words(value, options[key]) if options.get(key) else value
        for key, value in values.items()
    }
    return american_keys(spelled, model.model_fields)


def _american_words(value: Any, known: frozenset[str]) -> Any:
    if isinstance(value, str):
        return american(value) if value in known else value
    if isinstance(value, list | tuple):
        return [_american_words(item, known) for item in value]
    if isinstance(value, Mapping):
        return {_american_words(key, known): _american_words(item, known) for key, item in value.items()}
    return value


@cache
def _options(model: type[BaseModel]) -> dict[str, frozenset[str]]:
    """Return the options that each field lists, if some of them have two spellings."""
    listed = {name: frozenset(_literals(field.annotation)) for name, field in model.model_fields.items()}
    return {
        name: options for name, options in listed.items() if any(american(each) != each for each in options)
    }


def _literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (each for each in get_args(annotation) if isinstance(each, str))
    else:
        for part in get_args(annotation):
            yield from _literals(part)


def _types(annotation: Any) -> Iterator[Any]:
    """Go through an annotation and all types that it is made of."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _types(part)
