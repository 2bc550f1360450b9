"""SeedRange: as many seeds as a verdict needs, between a least and a most number."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from distillab.config import NumericConfig

LEAST_PAIRS = 5  # below it there is no verdict: the intervals were chosen for 5 pairs and more
_MOST_LOOKS = 5


class SeedRange(NumericConfig):
    """Sequential stopping: seeds 0, 1, ... are added until every contrast has a verdict.

    Attributes:
        min: Number of seeds at the first interim analysis.
        max: Number of seeds at the last one.
        stop: When to stop: ``decided``.

    Raises:
        ValueError: ``max`` is not greater than ``min``.

    Example:
        >>> SeedRange(min=5, max=20, stop="decided").looks
        (5, 8, 12, 16, 20)
    """

    min: int = Field(ge=LEAST_PAIRS)
    max: int
    stop: Literal["decided"]

    @model_validator(mode="after")
    def _has_room(self) -> SeedRange:
        if self.max <= self.min:
            raise ValueError(f"max must be greater than min: {self.max} and {self.min}")
        return self

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at the interim analyses: at most five, evenly spaced, the last one ``max``."""
        steps = min(_MOST_LOOKS - 1, self.max - self.min)
        return tuple(self.min + step * (self.max - self.min) // steps for step in range(steps + 1))
