"""Draws: what each seed of a study draws anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distillab.config import PublicConfig

Replicates = int | Literal["each", "auto"]
"""How many teachers of provenance ``full`` a study has: a number, one per seed, or as the plan chooses."""

PerSeed = Literal["seed", "shared"]


class Draws(PublicConfig):
    """What each seed draws anew, so that intervals include its variation.

    Attributes:
        views: ``seed`` if each seed has views of its own, ``shared`` if all seeds have the same.
        split: ``seed`` if val is carved anew for each seed where the source has none, ``shared`` if it is
            carved once. Test examples are the same for all seeds in either case.

    Example:
        >>> Draws(views="shared").split
        'seed'
    """

    views: PerSeed = "seed"
    split: PerSeed = "seed"


SHARED_DRAWS = Draws(views="shared", split="shared")


@dataclass(frozen=True)
class SeedTurns:
    """Which teacher and which split each seed of a study has.

    Attributes:
        seeds: The seeds of the study.
        replicates: How many ``full`` teachers there are; one per seed as long as it is not chosen.
        split: Whether the train/val split is drawn by seed.

    Example:
        >>> turns = SeedTurns((4, 1, 9), 2, "seed")
        >>> [turns.teacher(seed) for seed in (4, 1, 9)], [turns.split_of(seed) for seed in (4, 1, 9)]
        ([0, 1, 0], [0, 1, 0])
    """

    seeds: tuple[int, ...]
    replicates: Replicates
    split: PerSeed

    def teacher(self, seed: int) -> int:
        """Return which of the ``full`` teachers a seed has: that of its own number, or the next in turn."""
        return self.in_turn(seed, self.replicates) if isinstance(self.replicates, int) else seed

    def in_turn(self, seed: int, number: int) -> int:
        """Return which of so many a seed has if the seeds use them in turn."""
        return (self.seeds.index(seed) if seed in self.seeds else seed) % number

    def split_of(self, seed: int) -> int:
        """Return which train/val split a seed has: 0 is the split as it was read.

        Seeds that share a ``full`` teacher share its split, so that it has not learned from the val examples
        of its students.
        """
        return 0 if self.split == "shared" else self.teacher(seed)
