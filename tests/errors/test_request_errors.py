"""Errors of pydantic become one line: the key, what is wrong, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from distillab.errors import RequestError, validation_error


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    epochs: int = Field(default=1, ge=1)
    path: Path | None = None


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recipe: Recipe = Recipe()
    size: list[int] | int | None = None
    kind: Literal["symmetric", "pairs"] = "symmetric"
    share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    names: list[str] = []
    path: str
    odd: int = 1

    @field_validator("odd")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value < 0:
            raise RequestError("is below zero", where="sub", allowed="1, 3, 5")
        if value % 2 == 0:
            raise ValueError("is even")
        return value


KNOWN = [*Spec.model_fields, *(f"recipe.{name}" for name in Recipe.model_fields)]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({}, "s.yaml: key 'path' is missing"),
        (
            {"siz": 1},
            "s.yaml: unknown key 'siz', did you mean 'size'?"
            " (allowed: kind, names, odd, path, recipe, share, size)",
        ),
        (
            {"path": "x", "recipe": {"epoch": 3}},
            "s.yaml.recipe: unknown key 'epoch', did you mean 'epochs'? (allowed: epochs, path)",
        ),
        (
            {"path": "x", "recipe": {"epochs": 0}},
            "s.yaml.recipe.epochs: 0 is not accepted (allowed: at least 1)",
        ),
        (
            {"path": "x", "recipe": 3},
            "s.yaml.recipe: 3 is not accepted (allowed: a mapping of keys to values)",
        ),
        (
            {"path": "x", "size": "all"},
            "s.yaml.size: 'all' is not accepted (allowed: a list, or a whole number)",
        ),
        ({"path": "x", "size": 1.5}, "s.yaml.size: 1.5 is not accepted (allowed: a list, or a whole number)"),
        (
            {"path": "x", "kind": "odd"},
            "s.yaml.kind: 'odd' is not accepted (allowed: 'symmetric' or 'pairs')",
        ),
        ({"path": "x", "share": 0.5}, "s.yaml.share: 0.5 is not accepted (allowed: less than 0.5)"),
        ({"path": "x", "names": ["a", 3]}, "s.yaml.names.1: 3 is not accepted (allowed: text)"),
        ({"path": 3}, "s.yaml.path: 3 is not accepted (allowed: text)"),
        ({"path": "x", "odd": 2}, "s.yaml.odd: is even"),
        ({"path": "x", "odd": -1}, "s.yaml.odd.sub: is below zero (allowed: 1, 3, 5)"),
    ],
)
def test_validation_error_is_one_line(entry: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate(entry)
    assert str(validation_error(caught.value, "s.yaml", KNOWN)) == line


def test_long_values_are_shortened() -> None:
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate({"path": "x", "kind": "y" * 10_000})
    assert len(str(validation_error(caught.value, "s.yaml", KNOWN))) < 150
