"""EvidenceSpec: how the conclusions of a study are drawn."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

PLAIN = "ce"
"""The method of the plain student."""


class EvidenceSpec(BaseModel):
    """How conclusions are drawn. Nothing here changes what is trained.

    Attributes:
        margin: Half width of the region of practical equivalence, as a fraction: 0.005 is 0.5 points.
        confidence: Confidence level of intervals.
        baselines: Methods that the others are compared with.

    Example:
        >>> EvidenceSpec(margin=0.01).confidence
        0.95
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(default=0.005, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    baselines: tuple[str, ...] = (PLAIN,)
