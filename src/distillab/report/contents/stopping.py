"""What a report shows of a study with sequential stopping."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """How many of the possible seeds the contrasts of a study needed.

    Attributes:
        looks: Seeds and level of the intervals of each planned look.
        needed: Seeds of all contrasts together so far.
        most: Seeds that they could have had together.
        spared: Student runs that were not needed.
        runs: Student runs that were planned.
        going_on: Whether runs are still open.

    Example:
        >>> looks = ((5, 0.998), (10, 0.97))
        >>> Stopping(looks, needed=5, most=10, spared=10, runs=20, going_on=False).seeds(2)
        10
    """

    looks: tuple[tuple[int, float], ...]
    needed: int
    most: int
    spared: int
    runs: int
    going_on: bool

    def seeds(self, look: int | None) -> int | None:
        """Return the seeds of a look by its number; None before the first."""
        return None if look is None else self.looks[look - 1][0]
