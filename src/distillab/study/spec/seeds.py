"""SeedRange: as many seeds as a verdict needs, between a least and a most number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from distillab.config import NumericConfig
from distillab.errors import RequestError, validation_error
from distillab.study.spec.bounds import MOST_SEEDS, check_seed_count

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
    max: int = Field(le=MOST_SEEDS)
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


def read_seeds(value: Any) -> Any:
    """Return the key ``seeds`` as a list or a range: a number stands for that many seeds from 0.

    Raises:
        RequestError: It is no number, list or mapping, or a key of the mapping is not accepted.

    Example:
        >>> read_seeds(3), read_seeds([4, 7])
        ((0, 1, 2), [4, 7])
    """
    if isinstance(value, Mapping):
        try:
            return SeedRange.model_validate(dict(value))
        except ValidationError as error:
            raise validation_error(error, "", SeedRange.model_fields) from error
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        check_seed_count(value)
        return tuple(range(value))
    if not isinstance(value, list | tuple | SeedRange):
        raise RequestError(
            f"{value!r} is not accepted",
            allowed="a number of at least 1, a list of seeds, or a mapping with min, max and stop",
        )
    if isinstance(value, list | tuple):
        check_seed_count(len(value))
    return value
