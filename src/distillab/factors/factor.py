"""The contract of a factor: one property of a dataset, set to a level, with its strength measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from distillab.data.imageset import ImageSet
from distillab.registry import Registry

Role = Literal["teacher", "transfer", "val", "eval"]


@dataclass(frozen=True)
class Manipulation:
    """What was asked of a factor and what the data then measured.

    Attributes:
        factor: the factor's registered name.
        measure: what was measured, such as ``"images a class"`` or ``"share of changed labels"``.
        asked: the value of that measure that the level stands for.
        measured: its value in the data after the factor.
        tolerance: the largest accepted absolute difference.
    """

    factor: str
    measure: str
    asked: float
    measured: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the data hold what was asked. A study draws no conclusion from a condition that fails."""
        return bool(abs(self.asked - self.measured) <= self.tolerance)


class Factor(BaseModel, ABC):
    """One level of one factor: a frozen configuration that turns an ImageSet into another.

    Subclasses live one a file, are registered with ``@factor("name")``, and state in their docstring what a
    level means. ``apply`` draws from ``rng`` only numbers that do not depend on the level (normally one key
    for :func:`distillab.data.randomness.uniform`), so that for one seed the levels are nested.

    Class attributes:
        name: the registered name.
        examples: valid configurations for any balanced set of at least 3 classes of at least 20 images, at
            least one for each kind the factor has. Those that differ in level alone stand in increasing
            strength: each leaves untouched a subset of the images that the one before leaves untouched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()

    level: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer",)

    @field_validator("roles")
    @classmethod
    def _named_once(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) < len(roles):
            raise ValueError(f"a role is named twice in {', '.join(roles)}")
        return roles

    @property
    def phrase(self) -> str:
        """How people call a level of this factor as it is set, ``{}`` being the level: ``label noise {}``."""
        return f"{self.name.replace('_', ' ')} {{}}"

    @abstractmethod
    def apply(self, images: ImageSet, rng: np.random.Generator) -> ImageSet:
        """The manipulated set. Raises RequestError, saying the most the data can give, if it cannot be."""

    @abstractmethod
    def check(self, before: ImageSet, after: ImageSet) -> Manipulation:
        """Measure the strength of the manipulation in the data."""


factors: Registry[type[Factor]] = Registry("factor")


def factor(name: str) -> Callable[[type[Factor]], type[Factor]]:
    """Class decorator that registers a factor under ``name``."""

    def enter(cls: type[Factor]) -> type[Factor]:
        cls.name = name
        return factors.register(name)(cls)

    return enter
