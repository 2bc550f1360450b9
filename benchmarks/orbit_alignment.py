"""How alike the students of a study are to their teachers, over the orbits of its test images.

    python benchmarks/orbit_alignment.py DIR [--images 200]

Writes DIR/alignment.csv, a row per finished student that has a teacher, and prints means by teacher and
method.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from distillab.evidence.orbits import alignment_rows
from distillab.evidence.pairs import Row
from distillab.study.folder import StudyFolder

COLUMNS = ("run_id", "teacher", "student", "method", "seed", "cka", "cosine", "spread", "teacher_spread")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200, help="test images, evenly spread")
    arguments = parser.parse_args()
    rows = list(alignment_rows(StudyFolder.open(arguments.folder), arguments.images))
    with (arguments.folder / "alignment.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    means = defaultdict[tuple[str, str], list[Row]](list)
    for row in rows:
        means[row["teacher"], row["method"]].append(row)
    for (teacher, method), some in means.items():
        numbers = ", ".join(f"{key} {np.mean([row[key] for row in some]):.3f}" for key in COLUMNS[5:])
        print(f"{teacher}, {method}: {numbers} ({len(some)} students)")


if __name__ == "__main__":
    main()
