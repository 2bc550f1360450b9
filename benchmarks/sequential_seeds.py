"""False verdicts, power and seeds of the sequential design, simulated.

    python benchmarks/sequential_seeds.py

Simulates studies of 5 to 20 pairs, with the looks, levels and intervals that distillab uses.
First table, in percent: for each distribution of gains, false verdicts where they are most likely (the true
gain at 0 without a margin, then at the upper and lower edge of a margin of half a standard deviation), false
helps and harms where the gain is 0 inside that margin, and how often the intervals of all looks contain the
true gain. Second table, normal gains: correct verdicts in percent and seeds used, beside a fixed study of 20
pairs.
Third table: all seeds of a study share an error, from the draw of its test examples or of its three
teachers, whose standard deviation is a share of that between seeds. False verdicts in percent, true gain and
margin 0, of a study that stops on the interval for seeds alone, and of one that stops on the interval over
all draws.
Takes about a minute of one idle core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.gains import PairedDifferences, grid_floor, guarded_interval
from distillab.evidence.sequential import Look, look_plan
from distillab.study.spec.seeds import SeedRange
from interval_coverage import FAMILIES, GainDistribution

Values = npt.NDArray[np.float64]

STUDIES = 20_000  # standard error of a rate of 5 %: 0.15 points
SEEDS = SeedRange(min=5, max=20, stop="decided")
SEQUENTIAL = look_plan(SEEDS.looks)
FIXED = (Look(1, SEEDS.max, 0.95, 1.0),)
SHARED_STUDIES = 3_000  # standard error of a rate of 5 %: 0.4 points
EXAMPLES, FEW_TEACHERS = 100, 3
SHARES = (0.0, 0.3, 0.5)
UNDECIDED, HELPS, HARMS, EQUIVALENT = range(4)


@dataclass(frozen=True)
class SimulatedEnd:
    """The end of simulated studies.

    Attributes:
        verdicts: int64 ``[studies]``.
        seeds: int64 ``[studies]``, seeds used.
        all_hold: bool ``[studies]``, whether the intervals of all looks contained the true gain.
    """

    verdicts: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    all_hold: npt.NDArray[np.bool_]

    def share(self, *verdicts: int) -> float:
        """Return the percentage of studies that ended with one of the verdicts."""
        return 100.0 * float(np.isin(self.verdicts, verdicts).mean())


def simulate(gains: Values, looks: Sequence[Look], margin: float, truth: float, step: float) -> SimulatedEnd:
    """Follow studies with gains ``[studies, pairs]`` until each has a verdict or no look is left."""
    verdicts = np.zeros(len(gains), dtype=np.int64)
    seeds = np.full(len(gains), looks[-1].seeds)
    hold = np.ones(len(gains), dtype=bool)
    for look in looks:
        floor = grid_floor(look.seeds, step, look.confidence)
        low, high = guarded_interval(gains[:, : look.seeds], confidence=look.confidence, floor=floor)
        verdict = np.where(low > margin, HELPS, np.where(high < -margin, HARMS, UNDECIDED))
        verdict = np.where((low >= -margin) & (high <= margin), EQUIVALENT, verdict)
        new = (verdicts == UNDECIDED) & (verdict != UNDECIDED)
        verdicts[new], seeds[new] = verdict[new], look.seeds
        hold &= (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return SimulatedEnd(verdicts, seeds, hold)


def false_verdicts(family: GainDistribution, looks: Sequence[Look]) -> list[float]:
    """Return the numbers of the first table for one distribution, in percent."""
    drawn = family.draw(np.random.default_rng(1), (STUDIES, SEEDS.max)) - family.mean
    margin = 0.5 * float(drawn.std())

    def ended(margin: float, truth: float) -> SimulatedEnd:
        return simulate(drawn + truth, looks, margin, truth, family.step)

    at_edges = [ended(0.0, 0.0), ended(margin, margin), ended(margin, -margin)]
    inside = ended(margin, 0.0)
    return [
        *(each.share(HELPS, HARMS, EQUIVALENT) for each in at_edges),
        inside.share(HELPS, HARMS),
        100.0 * float(at_edges[0].all_hold.mean()),
    ]


def shared_errors(source: str, share: float) -> tuple[float, float]:
    """Return the percentages of false verdicts with an error that all seeds share: not counted, and counted.

    Gains vary between seeds with a standard deviation of 1, a quarter of the variance from single examples.

    Args:
        source: What the error is drawn with, ``test examples`` or ``teachers``.
        share: Its standard deviation.
    """
    rng = np.random.default_rng([len(source), round(10 * share)])
    teachers = np.arange(SEEDS.max) % FEW_TEACHERS
    false = np.zeros(2)
    for _ in range(SHARED_STUDIES):
        seeds = rng.normal(0, np.sqrt(0.75), SEEDS.max)
        table = rng.normal(0, 0.5 * np.sqrt(EXAMPLES), (SEEDS.max, EXAMPLES)) + seeds[:, None]
        if source == "teachers":
            table += rng.normal(0, share * np.sqrt(FEW_TEACHERS), FEW_TEACHERS)[teachers][:, None]
        else:
            table += rng.normal(0, share * np.sqrt(EXAMPLES), EXAMPLES)
        names = teachers.tolist() if source == "teachers" else None
        for place, counted in enumerate((False, True)):
            false[place] += _ends_with_a_verdict(table, names, counted)
    ignored, counted_share = 100.0 * false / SHARED_STUDIES
    return float(ignored), float(counted_share)


def _ends_with_a_verdict(table: Values, teachers: list[int] | None, counted: bool) -> bool:
    """Return True if a study with gains ``[pairs, examples]`` finds one other than 0 at a look."""
    for look in SEQUENTIAL:
        here, n = table[: look.seeds], look.seeds
        differences = PairedDifferences.of(
            here.mean(axis=1),
            np.zeros(n),
            teachers=teachers[:n] if teachers and counted else None,
            contributions=here if counted else None,
        )
        low, high = differences.interval(look.confidence)
        if low > 0.0 or high < 0.0:
            return True
    return False


def main() -> None:
    """Simulate and print the tables."""
    print("looks:", ", ".join(f"{look.seeds} pairs at {100 * look.confidence:.2f} %" for look in SEQUENTIAL))
    columns = ("zero", "upper", "lower", "inside", "all hold")
    print(f"\n{'false verdicts, %':34s}" + "".join(f"{name:>9s}" for name in columns) + "   fixed: zero")
    for family in FAMILIES:
        found, fixed = false_verdicts(family, SEQUENTIAL), false_verdicts(family, FIXED)
        print(f"{family.name:34s}" + "".join(f"{x:9.1f}" for x in found) + f"{fixed[0]:14.1f}", flush=True)
    print(f"\n{'normal gains, in sd':34s}{'right, %':>9s}{'seeds':>9s}{'right of fixed 20, %':>23s}")
    for margin, gain in ((0.0, 0.5), (0.5, 1.0), (0.5, 1.5), (0.5, 2.0), (0.5, 3.0), (1.0, 0.0), (2.0, 0.0)):
        drawn = np.random.default_rng(2).normal(gain, 1.0, (STUDIES, SEEDS.max))
        right = HELPS if gain > margin else EQUIVALENT
        ended, fixed_end = (simulate(drawn, looks, margin, gain, 0.0) for looks in (SEQUENTIAL, FIXED))
        name = f"margin {margin:g}, true gain {gain:g}"
        print(f"{name:34s}{ended.share(right):9.1f}{ended.seeds.mean():9.1f}{fixed_end.share(right):23.1f}")
    print(f"\n{'error that all seeds share, in sd':34s}{'seeds alone':>14s}{'all draws':>14s}")
    for source in ("test examples", "teachers"):
        for share in SHARES:
            ignored, counted = shared_errors(source, share)
            print(f"{f'{source}, {share:g}':34s}{ignored:14.1f}{counted:14.1f}", flush=True)


if __name__ == "__main__":
    main()
