"""How often conclusions across data sets are right: coverage, false verdicts, false alarms, by simulation.

    python benchmarks/across_coverage.py [--studies 1000]

For each number of base sets and distribution of gains it prints, in percent: how often the interval of the
mean contains the true mean, and how often a verdict is false when the true mean is at the margin; then how
often a curve that does not fall is called falling (equal true scores, the worst case), and how often a fall
of twice the noise between seeds is found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from distillab.evidence.across import BaseSetMeans, check_monotone
from distillab.evidence.draws import FloatArray

SIZES = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
GAINS: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "normal": lambda rng, number: rng.normal(size=number),
    "exponential": lambda rng, number: rng.exponential(size=number) - 1.0,
    "one in five far off": lambda rng, number: (
        rng.normal(size=number) * np.where(rng.random(number) < 0.2, 3, 1)
    ),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print("| base sets | gains | coverage | false verdicts |\n|---|---|---|---|")
    for number in (6, 8, 12, 20):
        for name, draw in GAINS.items():
            print(f"| {number} | {name} | {_means(number, draw, studies)} |", flush=True)
    print("| seeds | called falling, flat | found, fall of 2 sd |\n|---|---|---|")
    for seeds in (3, 5, 10):
        print(f"| {seeds} | {_falls(seeds, 0.0, studies)} | {_falls(seeds, 2.0, studies)} |", flush=True)


def _means(number: int, draw: Callable[[np.random.Generator, int], FloatArray], studies: int) -> str:
    """Return coverage of the mean, and false verdicts with the true mean at the margin of one."""
    rng = np.random.default_rng(number)
    names = [str(place) for place in range(number)]
    covered = false = 0
    for _ in range(studies):
        gains = draw(rng, number)
        low, high = BaseSetMeans.of(gains, names).interval()
        covered += low <= 0.0 <= high
        found = BaseSetMeans.of(gains + 1.0, names).summary(1.0)
        false += found.verdict in ("helps", "harms", "equivalent")
    return f"{100 * covered / studies:.1f} | {100 * false / studies:.1f}"


def _falls(seeds: int, fall: float, studies: int) -> str:
    """Return how often a curve is called falling, in percent; its last score is lower by ``fall`` sd."""
    rng = np.random.default_rng(seeds)
    truth = np.array([0.0, 0.0, 0.0, 0.0, -fall])
    called = sum(
        check_monotone(SIZES, truth + rng.normal(size=(seeds, 5))).falls for _ in range(studies // 2)
    )
    return f"{100 * called / (studies // 2):.1f}"


if __name__ == "__main__":
    main()
