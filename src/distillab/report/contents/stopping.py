"""What the report shows of a study that stopped when it was decided."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """How many seeds the contrasts of a study needed, of those that they could have had.

    ``looks``: (seeds, level of the intervals) of each planned look. ``needed`` and ``most``: seeds of all
    contrasts together, as far as they have come, and as many as they could have had. ``spared`` and ``runs``:
    student runs that were not needed, and all that were planned. ``going_on``: runs are still to come.
    """

    looks: tuple[tuple[int, float], ...]
    needed: int
    most: int
    spared: int
    runs: int
    going_on: bool

    def seeds(self, look: int | None) -> int | None:
        """The seeds of a look by its number; None before the first."""
        return None if look is None else self.looks[look - 1][0]
