"""How a race spends its time: first seeds, then length, each time for the arms that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST_PAIRS = 3
ENOUGH_PAIRS = 6  # after which a longer training is worth more than further seeds
MOST_RACED_PAIRS = 20
FIRST_SHARE = 0.25  # of the steps of a full training
LEAST_SHARE = 1 / 32
LEAST_STEPS = 20


@dataclass(frozen=True)
class Rung:
    """One stage of a race: some arms under the same seeds and steps.

    Attributes:
        pairs: Number of seeds.
        share: Steps as a share of a full training.

    Example:
        >>> Rung(pairs=3, share=0.25).cost(run_seconds=8.0, arms=3)
        18.0
    """

    pairs: int
    share: float

    def cost(self, run_seconds: float, arms: int) -> float:
        """Return the seconds of training, on one worker, of all its runs.

        Args:
            run_seconds: Seconds of one full training.
            arms: Number of methods, the plain student included.
        """
        return self.pairs * arms * self.share * run_seconds


def first_rung(seconds: float, run_seconds: float, arms: int) -> Rung | None:
    """Return the first rung that fits into some seconds of training; None if none does.

    It has three pairs at a quarter of a full training, or at half of that, and so on.

    Example:
        >>> first_rung(100.0, run_seconds=8.0, arms=3), first_rung(0.5, run_seconds=8.0, arms=3)
        (Rung(pairs=3, share=0.25), None)
    """
    share = FIRST_SHARE
    while share >= LEAST_SHARE:
        rung = Rung(FIRST_PAIRS, share)
        if rung.cost(run_seconds, arms) <= seconds:
            return rung
        share /= 2
    return None


def next_rung(last: Rung, seconds: float, run_seconds: float, arms: int) -> Rung | None:
    """Return the rung after another that fits into some seconds of training; None if none does.

    Seeds are doubled until there are six pairs, then the steps until training is a full one, then the seeds
    again. What does not fit is made smaller: a longer training has as few as three pairs, and seeds are added
    one by one. Runs of the rung before that are part of the next one are not counted.

    Example:
        >>> next_rung(Rung(3, 0.25), 1e3, run_seconds=8.0, arms=3)
        Rung(pairs=6, share=0.25)
        >>> next_rung(Rung(6, 0.25), 1e3, run_seconds=8.0, arms=2)
        Rung(pairs=6, share=0.5)
        >>> next_rung(Rung(6, 0.5), 50.0, run_seconds=8.0, arms=2)
        Rung(pairs=3, share=1.0)
        >>> next_rung(Rung(6, 0.5), 40.0, run_seconds=8.0, arms=2)
        Rung(pairs=11, share=0.5)
    """
    one = run_seconds * arms
    options = []
    if last.pairs < ENOUGH_PAIRS:
        options.append(Rung(ENOUGH_PAIRS, last.share))
    elif last.share < 1.0:
        longer = min(1.0, 2 * last.share)
        options += [Rung(pairs, longer) for pairs in range(last.pairs, FIRST_PAIRS - 1, -1)]
    more = min(2 * last.pairs, MOST_RACED_PAIRS)
    options += [Rung(pairs, last.share) for pairs in range(more, last.pairs, -1)]
    for rung in options:
        new = rung.pairs - (last.pairs if rung.share == last.share else 0)
        if 0 < new * rung.share * one <= seconds:
            return rung
    return None


def reached(seconds: float, run_seconds: float, arms: Sequence[int]) -> Rung | None:
    """Return the last rung of a race of some seconds of training; None if not even the first one fits.

    Args:
        seconds: Seconds of training on one worker.
        run_seconds: Seconds of one full training.
        arms: Number of methods in each rung, the plain student included; the last number is that of all
            further rungs.

    Example:
        >>> reached(60.0, run_seconds=8.0, arms=[3, 2])
        Rung(pairs=3, share=0.5)
    """
    rung = first_rung(seconds, run_seconds, arms[0])
    if rung is None:
        return None
    left = seconds - rung.cost(run_seconds, arms[0])
    place = 1
    while True:
        number = arms[min(place, len(arms) - 1)]
        following = next_rung(rung, left, run_seconds, number)
        if following is None:
            return rung
        new = following.pairs - (rung.pairs if following.share == rung.share else 0)
        left -= new * following.share * run_seconds * number
        rung, place = following, place + 1
