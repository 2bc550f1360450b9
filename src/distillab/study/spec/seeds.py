"""SeedRange: as many seeds as a verdict needs, between a least and a most number."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_SEEDS = 5  # the intervals were chosen for 5 pairs and more; fewer rarely decide anything
MOST_LOOKS = 5


class SeedRange(BaseModel):
    """``{min: 5, max: 20, stop: decided}``: seeds are added until every contrast has a verdict.

    ``min``: seeds before the first look. ``max``: seeds at the last. The seeds are 0, 1, ..., max - 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(ge=LEAST_SEEDS)
    max: int
    stop: Literal["decided"]

    @model_validator(mode="after")
    def _something_to_save(self) -> SeedRange:
        if self.max <= self.min:
            raise ValueError(f"max must be greater than min: {self.max} and {self.min}")
        return self

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which the study looks: at most five, evenly spaced, the last one ``max``."""
        steps = min(MOST_LOOKS - 1, self.max - self.min)
        return tuple(self.min + step * (self.max - self.min) // steps for step in range(steps + 1))
