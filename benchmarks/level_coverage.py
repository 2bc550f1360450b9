"""The coverage of intervals of differences between levels, by simulation.

    python benchmarks/level_coverage.py [--studies 1000]

Gains of single test examples at three levels are drawn from the model of distillab.evidence.draws, each part
once for all levels and once for each: between examples (standard deviation 0.2), the rest (0.4), seeds
(0.005) and teachers (0.003). The gain grows by one point per unit of the level, and every study goes
through distillab.evidence.compute_level_effects. "Difference" is the interval of the highest level against
the lowest, "trend" that of the line through all levels. One thread; about twelve minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence import Row, compute_level_effects
from distillab.evidence.contrast import ExampleValues
from distillab.tasks import Classification

BETWEEN_EXAMPLES, REST, BETWEEN_SEEDS, BETWEEN_TEACHERS = 0.2, 0.4, 0.005, 0.003
PAIRS, EXAMPLES, LEVELS, STEP = (5, 6, 10, 20), 200, (1.0, 2.0, 5.0), 0.01
TASK = Classification()


@dataclass(frozen=True)
class Design:
    """What the levels of a study have in common.

    Attributes:
        teachers: The teachers of the seeds: ``three`` in turn or ``each``, the same at all levels, or
            ``level``, one for each seed and level.
        shared: The share of a level's test examples that all levels have.
    """

    teachers: str
    shared: float


DESIGNS = (
    Design("three", 1.0),
    Design("each", 1.0),
    Design("level", 1.0),
    Design("each", 0.5),
    Design("each", 0.0),
)


class Study:
    """A simulated study.

    Args:
        design: What its levels have in common.
        pairs: Its number of seeds.
        rng: Draws it.
    """

    def __init__(self, design: Design, pairs: int, rng: np.random.Generator) -> None:
        common = round(design.shared * EXAMPLES)
        examples = rng.normal(0, BETWEEN_EXAMPLES, EXAMPLES)
        seeds = rng.normal(0, BETWEEN_SEEDS, pairs)
        number = 3 if design.teachers == "three" else pairs
        names, teachers = np.arange(pairs) % number, rng.normal(0, BETWEEN_TEACHERS, number)
        self.rows: list[Row] = []
        self._values: dict[str, ExampleValues] = {}
        for place, level in enumerate(LEVELS):
            ids = np.arange(EXAMPLES) + EXAMPLES * place
            ids[:common] = np.arange(common)
            of_examples = np.where(np.arange(EXAMPLES) < common, examples, 0.0)
            own = np.where(np.arange(EXAMPLES) < common, 0.0, rng.normal(0, BETWEEN_EXAMPLES, EXAMPLES))
            gains = STEP * level + of_examples + own + rng.normal(0, BETWEEN_EXAMPLES, EXAMPLES)
            of_teachers = teachers if design.teachers != "level" else rng.normal(0, BETWEEN_TEACHERS, number)
            drawn = of_teachers + rng.normal(0, BETWEEN_TEACHERS, number)
            for seed in range(pairs):
                of_seed = seeds[seed] + rng.normal(0, BETWEEN_SEEDS) + drawn[names[seed]]
                table = gains + of_seed + rng.normal(0, REST, EXAMPLES)
                teacher = f"{names[seed]}" + (f" {level}" if design.teachers == "level" else "")
                self._add("ce", level, seed, np.zeros(EXAMPLES), ids, teacher)
                self._add("kd", level, seed, table, ids, teacher)

    def _add(
        self,
        method: str,
        level: float,
        seed: int,
        values: npt.NDArray[np.float64],
        ids: npt.NDArray[np.int64],
        teacher: str,
    ) -> None:
        run = f"{method} {level} {seed}"
        self._values[run] = ExampleValues(values, ids)
        row: Row = {"run_id": run, "method": method, "factor.strength": level, "seed": seed}
        row |= {"status": "done", "accuracy": float(values.mean()), "teacher_run": teacher}
        self.rows.append(row)

    def held(self) -> tuple[bool, bool]:
        """Return whether the intervals of the difference and of the trend contain the true change."""
        found = compute_level_effects(self.rows, TASK, contributions=lambda row: self._values[row["run_id"]])
        ends = {row["level"]: (row["ci_low"], row["ci_high"]) for row in found}
        truth = STEP * (LEVELS[-1] - LEVELS[0])
        difference, trend = (low <= truth <= high for low, high in (ends["5"], ends["trend"]))
        return difference, trend


def main() -> None:
    """Read the command line and print one line per design and number of pairs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per line")
    options = parser.parse_args()
    print("| pairs | teachers | shared test examples | difference | trend |\n|---|---|---|---|---|")
    for pairs in PAIRS:
        for number, design in enumerate(DESIGNS):
            rng = np.random.default_rng([pairs, number])
            held = np.array([Study(design, pairs, rng).held() for _ in range(options.studies)])
            difference, trend = (f"{100 * share:.1f}" for share in held.mean(axis=0))
            shared = f"{100 * design.shared:.0f} %"
            print(f"| {pairs} | {design.teachers} | {shared} | {difference} | {trend} |", flush=True)


if __name__ == "__main__":
    main()
