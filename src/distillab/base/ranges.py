"""Ranges: what a quantity of a design may be, and the value that belongs to a coordinate in [0, 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from distillab.errors import RequestError


class Range(BaseModel):
    """An interval of numbers, of which a share of the contexts has a value.

    Attributes:
        between: The two ends.
        scale: How values are spread: evenly, or evenly in their logarithm.
        whole: Whether values are whole numbers.
        share: The share of the contexts that has a value; in the others the quantity is not varied.

    Example:
        >>> quarter = Range(between=(4, 64), scale="log", whole=True, share=0.5)
        >>> quarter.at(0.0), quarter.at(0.25), quarter.at(0.75)
        (4, 16, None)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    between: tuple[float, float]
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False
    share: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        low, high = self.between
        if not low <= high or (self.scale == "log" and low <= 0):
            raise ValueError(f"between {low:g} and {high:g} is no range on a {self.scale} scale")
        return self

    def at(self, coordinate: float) -> float | None:
        """Return the value at a coordinate in [0, 1), or None if the quantity is not varied there."""
        if coordinate >= self.share:
            return None
        place, (low, high) = coordinate / self.share, self.between
        if self.whole and self.scale == "linear":
            return math.floor(low + place * (high - low + 1))
        value = low * (high / low) ** place if self.scale == "log" else low + place * (high - low)
        return round(value) if self.whole else float(f"{value:.3g}")


class Weights(BaseModel):
    """Names or numbers, each of a share of the contexts.

    Attributes:
        weights: The weight of each, in the order in which they share [0, 1).

    Example:
        >>> Weights(weights={"full": 3, "same": 1}).at(0.7), Weights(weights={"full": 3, "same": 1}).at(0.8)
        ('full', 'same')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Mapping[str | int, Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _positive(self) -> Weights:
        if not sum(self.weights.values()) > 0:
            raise ValueError("the weights add up to nothing")
        return self

    def at(self, coordinate: float) -> str | int:
        """Return the name or number at a coordinate in [0, 1)."""
        place = coordinate * sum(self.weights.values())
        for name, weight in self.weights.items():
            place -= weight
            if place < 0:
                return name
        return list(self.weights)[-1]


def _read_range(value: Any) -> Any:
    """Return a range as it is written: a mapping with ``between``, names with weights, or a list of names."""
    if isinstance(value, Range | Weights):
        return value
    if isinstance(value, list):
        return Weights(weights=dict.fromkeys(value, 1.0))
    if not isinstance(value, Mapping) or not value:
        raise RequestError(
            f"{value!r} is no range", allowed="{between: [low, high]}, a list, or names with weights"
        )
    return Range.model_validate(value) if "between" in value else Weights(weights=value)


NumberRange = Annotated[Range, BeforeValidator(_read_range)]
"""A range of numbers, as a design file has it."""
Choices = Annotated[Weights, BeforeValidator(_read_range)]
"""Names with weights, as a design file has them."""
