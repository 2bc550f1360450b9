"""The coverage of intervals over draws of seeds, teachers and test examples, by simulation.

    python benchmarks/draws_coverage.py [--studies 1000]

Gains of single test examples are drawn from the model of distillab.evidence.draws, with standard deviations
of 0.2 between examples, 0.4 for the rest, 0.005 between seeds and 0.003 between teachers. "Fixed" is the
interval that takes teachers and test examples as fixed, "same" that for the same test examples, "new" that
for new ones. One thread; about three minutes.
"""

from __future__ import annotations

import argparse

import numpy as np

from distillab.evidence.gains import guarded_interval, paired_gain

BETWEEN_EXAMPLES, REST, BETWEEN_SEEDS, BETWEEN_TEACHERS = 0.2, 0.4, 0.005, 0.003
PAIRS, EXAMPLES = (5, 6, 10, 20), (200, 836)


def coverage(pairs: int, teachers: int, examples: int, studies: int) -> tuple[float, float, float]:
    """Return the shares of studies whose intervals contain the true gain, 0: fixed, same and new."""
    rng = np.random.default_rng([pairs, teachers, examples])
    of = np.arange(pairs) % teachers
    held = np.zeros(3)
    for _ in range(studies):
        table = rng.normal(0, REST, (pairs, examples)) + rng.normal(0, BETWEEN_EXAMPLES, examples)
        table += rng.normal(0, BETWEEN_SEEDS, (pairs, 1))
        table += rng.normal(0, BETWEEN_TEACHERS, teachers)[of][:, None]
        values = table.mean(axis=1)
        low, high = guarded_interval(values)
        gain = paired_gain(values, np.zeros(pairs), teachers=of.tolist(), contributions=table)
        held += np.array(
            [
                low <= 0 <= high,
                gain.ci_low_same_test <= 0 <= gain.ci_high_same_test,
                gain.ci_low <= 0 <= gain.ci_high,
            ],
            dtype=float,
        )
    fixed, same, new = held / studies
    return fixed, same, new


def main() -> None:
    """Read the command line and print one line per design."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per line")
    options = parser.parse_args()
    print("| pairs | teachers | test examples | fixed | same | **new** |\n|---|---|---|---|---|---|")
    for pairs in PAIRS:
        for teachers in (3, pairs):
            for examples in EXAMPLES:
                found = coverage(pairs, teachers, examples, options.studies)
                fixed, same, new = (f"{100 * each:.1f}" for each in found)
                print(f"| {pairs} | {teachers} | {examples} | {fixed} | {same} | **{new}** |", flush=True)


if __name__ == "__main__":
    main()
