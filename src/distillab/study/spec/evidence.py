"""EvidenceSpec: how the conclusions of a study are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from distillab.study.spec.seeds import LEAST_PAIRS

PLAIN = "ce"
"""The method of the plain student."""


class EvidenceSpec(BaseModel):
    """How conclusions are drawn. Nothing here changes what is trained, but for ``probes``, which add runs.

    Attributes:
        margin: Half width of the region of practical equivalence, as a fraction: 0.005 is 0.5 points.
        confidence: Confidence level of intervals.
        baselines: Methods that the others are compared with.
        probes: Of how many seeds the students are trained for twice the steps as well, under every condition,
            to see whether training was long enough; ``auto`` is 1 for a study of enough seeds for a verdict.

    Example:
        >>> EvidenceSpec(margin=0.01).confidence
        0.95
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(default=0.005, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    baselines: tuple[str, ...] = (PLAIN,)
    probes: Annotated[int, Field(ge=0, strict=True)] | Literal["auto"] = "auto"

    def probed_seeds(self, seeds: int) -> int:
        """Return the number of seeds whose students are trained for twice the steps as well.

        Args:
            seeds: The number of seeds that every condition has.

        Example:
            >>> EvidenceSpec().probed_seeds(4), EvidenceSpec().probed_seeds(6)
            (0, 1)
            >>> EvidenceSpec(probes=8).probed_seeds(6)
            6
        """
        if self.probes == "auto":
            return 1 if seeds >= LEAST_PAIRS else 0
        return min(self.probes, seeds)
