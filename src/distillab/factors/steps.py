"""The length of training: how many optimization steps networks are trained for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from distillab.factors.factor import Amount, Configuration, Manipulation, NetworkFactor, factor

_MULTIPLE = re.compile(r"x(\d+(?:\.\d+)?)")


@factor("steps")
class Steps(NetworkFactor):
    """How long networks are trained. Level: optimization steps, or with ``x`` a multiple of the recipe's: x4.

    The data stay as they are. The plain student and the distilled one are trained for the same number of
    steps at each level, and the schedule of the learning rate is stretched to it. A multiple is of the steps
    that the recipe has on the training set of the condition, so that a recipe in epochs keeps its meaning.
    A plan measures the level by :meth:`check_steps`.

    Attributes:
        level: Steps (``unit: steps``), or a multiple of the recipe's (``unit: multiple``). ``x4`` is short
            for 4 with ``unit: multiple``.
        unit: What the level counts.
        roles: The networks whose training varies: ``transfer`` for the students and the teachers that are
            copies of them, ``teacher`` for a teacher that is trained in the study.

    Example:
        >>> Steps(level=1000).description, Steps(level="x4").description
        ('1000 steps', '4 times the steps of the recipe')
        >>> Steps(level="x4").resolve(250)
        1000
    """

    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 4},
        {"level": 2},
        {"level": 2.0, "unit": "multiple"},
        {"level": 1.0, "unit": "multiple"},
    )

    level: Amount
    unit: Literal["steps", "multiple"] = "steps"

    @model_validator(mode="before")
    @classmethod
    def _read_multiple(cls, values: Any) -> Any:
        """Read ``x4`` as 4 with ``unit: multiple``."""
        level = values.get("level") if isinstance(values, Mapping) else None
        written = _MULTIPLE.fullmatch(level) if isinstance(level, str) else None
        if written is None:
            return values
        if values.get("unit", "multiple") != "multiple":
            raise ValueError(f"{level} is a multiple of the recipe's steps: write it without `unit: steps`")
        return {**values, "level": float(written[1]), "unit": "multiple"}

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.unit == "steps" and (self.level < 1 or not self.level.is_integer()):
            raise ValueError(f"{self.level:g} is not a number of steps: it must be whole and at least 1")
        if self.level <= 0:
            raise ValueError(f"{self.level:g} is not a multiple of the recipe's steps: it must be above 0")
        return self

    @property
    def phrase(self) -> str:
        return "{} steps" if self.unit == "steps" else "{} times the steps of the recipe"

    def resolve(self, steps: int) -> int:
        """Return the number of steps at this level, at least 1.

        Args:
            steps: The number of steps of the recipe on the training set.
        """
        return int(self.level) if self.unit == "steps" else max(1, round(self.level * steps))

    def check_steps(self, planned: int, steps: int) -> Manipulation:
        """Measure the length of a planned training.

        Args:
            planned: The number of steps of its recipe.
            steps: The number that the recipe of the study has on the training set.
        """
        if self.unit == "steps":
            return Manipulation(self.name, "optimization steps", self.level, float(planned), 0.0)
        tolerance = 0.5 / steps + 1e-9
        note = f"{planned} steps"
        return Manipulation(
            self.name, "multiple of the recipe's steps", self.level, planned / steps, tolerance, note
        )
