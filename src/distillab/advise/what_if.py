"""What if there were more data, or a longer training: a grid of the gain for the sliders of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from distillab.advise.context_features import Facts
from distillab.advise.posterior import GainEstimate
from distillab.canonical import finite_or_none

DATA = (0.25, 0.5, 1.0, 2.0, 4.0)  # multiples of the examples at hand; beyond four times, no answer is given
LENGTH = (0.5, 1.0, 2.0)  # multiples of the steps of a full training


@dataclass(frozen=True)
class WhatIfPoint:
    """The expected gain at one position of the sliders.

    Attributes:
        gain: The expected gain, as a fraction.
        low: Lower end of its 80 % interval.
        high: Upper end of its 80 % interval.

    Example:
        >>> WhatIfPoint(0.02, 0.01, 0.03).low
        0.01
    """

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class WhatIf:
    """The expected gain over a grid of multiples of data and of length.

    Attributes:
        data: Multiples of the number of examples, ascending.
        length: Multiples of the number of steps, ascending.
        points: The gain at ``[data][length]``; empty if nothing is known of other amounts.
        source: What it rests on, one sentence.

    Example:
        >>> WhatIf((1.0,), (1.0,), (), "Nothing was measured.").as_dict()["points"]
        []
    """

    data: tuple[float, ...]
    length: tuple[float, ...]
    points: tuple[tuple[WhatIfPoint, ...], ...]
    source: str

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the grid as JSON values, gains as fractions."""
        return {
            "data": list(self.data),
            "length": list(self.length),
            "points": [
                [[finite_or_none(each) for each in (p.gain, p.low, p.high)] for p in row]
                for row in self.points
            ],
            "source": self.source,
        }


NOTHING_KNOWN = WhatIf(
    (1.0,), (1.0,), (), "How the gain moves with the amount of data is not known: nothing has measured it."
)


def from_prior(
    facts: Facts,
    here: WhatIfPoint,
    estimate: Callable[[Facts], GainEstimate],
    outside: Callable[[Facts], bool],
) -> WhatIf:
    """Return the grid that the prior leads to expect, shifted so that it passes through the answer.

    The half width grows with the change that the prior predicts, since a predicted change is less certain
    than what was measured here. Positions outside of what was studied have no value.

    Args:
        facts: The facts of the data at hand.
        here: The answer at the data at hand.
        estimate: Returns the prior's gain for other facts.
        outside: Returns whether facts lie outside of what was studied.
    """
    start = estimate(facts).mean
    rows = []
    for data in DATA:
        row = []
        for length in LENGTH:
            changed = changed_facts(facts, data, length)
            if outside(changed):
                row.append(WhatIfPoint(math.nan, math.nan, math.nan))
                continue
            change = estimate(changed).mean - start
            more = abs(change)
            row.append(WhatIfPoint(here.gain + change, here.low + change - more, here.high + change + more))
        rows.append(tuple(row))
    source = "The change with data and length is what the evidence base predicts; the level is the answer's."
    return WhatIf(DATA, LENGTH, tuple(rows), source)


def changed_facts(facts: Facts, data: float, length: float) -> Mapping[str, object]:
    """Return facts with a multiple of the examples and of the steps.

    Example:
        >>> changed_facts({"n_train": 100, "steps": 800, "profile.images": 130.0}, 2.0, 0.5)
        {'n_train': 200.0, 'steps': 400.0, 'profile.images': 260.0}
    """
    per_class = dict.fromkeys(("profile.images_per_class_min", "profile.images_per_class_median"), data)
    factors = {"n_train": data, "profile.images": data, **per_class, "steps": length, "epochs": length / data}
    return {
        name: value * factors[name] if name in factors and isinstance(value, int | float) else value
        for name, value in facts.items()
    }


def from_sizes(gains: Mapping[float, GainEstimate], here: WhatIfPoint) -> WhatIf:
    """Return the grid of a pilot at two amounts of data: the gain over the logarithm of the amount.

    Only one doubling beyond the data at hand is answered: the line rests on two amounts.

    Args:
        gains: The gain by multiple of the data at hand; 1 and a smaller one.
        here: The answer at the data at hand.

    Example:
        >>> from distillab.evidence.draws import Variance
        >>> even = Variance(1e-6, 8.0)
        >>> gains = {0.5: GainEstimate(0.03, even), 1.0: GainEstimate(0.02, even)}
        >>> grid = from_sizes(gains, WhatIfPoint(0.02, 0.01, 0.03))
        >>> [round(row[0].gain, 3) for row in grid.points]
        [0.03, 0.02, 0.01]
    """
    small = min(gains)
    slope = (gains[1.0].mean - gains[small].mean) / -math.log2(small)
    error = math.hypot(gains[1.0].deviation, gains[small].deviation) / -math.log2(small)
    freedom = min(gains[1.0].variance.freedom, gains[small].variance.freedom)
    wide = GainEstimate(0.0, type(gains[1.0].variance)(error**2, freedom)).interval(0.8)[1]
    rows = []
    for data in (small, 1.0, 2.0):
        doublings = math.log2(data)
        change, more = slope * doublings, wide * abs(doublings)
        rows.append((WhatIfPoint(here.gain + change, here.low + change - more, here.high + change + more),))
    share = f"{100 * small:g} %"
    source = f"Measured here with {share} and with all of the data; twice the data is a line through both."
    return WhatIf((small, 1.0, 2.0), (1.0,), tuple(rows), source)
