"""What a study computes of where its networks look."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from distillab.config import NumericConfig

AttributionName = Literal["grad_cam", "integrated_gradients", "lime", "occlusion"]
"""The attributions of :mod:`distillab.explain`, which this package does not import."""


class ExplainSpec(NumericConfig):
    """Which attribution maps are computed of the students and teachers of a study, once they are trained.

    It is computed from stored weights and read by nothing that trains, so it is not part of run ids, and can
    be added to a study that has run.

    Attributes:
        attributions: The attributions.
        images: How many images of the primary test set are explained, evenly spread over it.

    Raises:
        ValueError: An attribution is unknown or named twice, or there are no images.

    Example:
        >>> ExplainSpec(attributions="grad_cam").images
        100
    """

    attributions: Annotated[tuple[AttributionName, ...], Field(min_length=1)] = ("grad_cam",)
    images: Annotated[int, Field(ge=1, strict=True)] = 100

    @field_validator("attributions", mode="before")
    @classmethod
    def _list_or_name(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("attributions")
    @classmethod
    def _each_once(cls, value: tuple[AttributionName, ...]) -> tuple[AttributionName, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an attribution is named twice: name each once")
        return value
