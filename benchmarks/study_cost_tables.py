"""The tables of study_cost.py: costs, accuracies, their differences and the noise of seeds, ratios.

    python benchmarks/study_cost_tables.py TABLE.csv

prints them again from what ``study_cost.py --out TABLE.csv`` wrote, as Markdown.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METHODS = ("ce", "kd", "dist", "at", "rkd")
SIDES = ("torchdistill", "distillab auto", "distillab fp32")
Record = dict[str, Any]

COST_COLUMNS = ("wall_seconds", "cpu_seconds", "peak_mib", "teacher_images")


def print_tables(rows: Sequence[Record]) -> None:
    """Print costs, and accuracies in percent (mean and standard deviation over seeds), as Markdown."""
    costs = [
        [row["pair"], row["side"], *(f"{float(row[name]):,.0f}" for name in COST_COLUMNS)] for row in rows
    ]
    print_table(["pair", "side", "wall, s", "processor, s", "peak, MiB", "images through the teacher"], costs)
    accuracies = [
        [
            row["pair"],
            row["side"],
            *(f"{100 * row[f'accuracy_{name}']:.1f} ± {100 * row[f'sd_{name}']:.1f}" for name in METHODS),
        ]
        for row in rows
    ]
    print_table(["pair", "side", *METHODS], accuracies)


def print_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print lines of text under their columns, as Markdown."""
    widths = [max(len(line[place]) for line in (columns, *lines)) for place in range(len(columns))]
    for line in (columns, ["-" * width for width in widths], *lines):
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |")
    print()


def print_noise(rows: Sequence[Record]) -> None:
    """Print how far the accuracies of each side are from torchdistill's, and the difference due to seeds."""
    for side in SIDES[1:]:
        gaps, noises = [], []
        for reference, own in itertools.product(rows, rows):
            if (reference["side"], own["side"]) == ("torchdistill", side) and reference["pair"] == own[
                "pair"
            ]:
                for name in METHODS:
                    gaps.append(own[f"accuracy_{name}"] - reference[f"accuracy_{name}"])
                    noises.append(
                        (own[f"sd_{name}"] ** 2 + reference[f"sd_{name}"] ** 2) / reference["seeds"]
                    )
        mean, noise = statistics.fmean(gaps), statistics.fmean(noises) ** 0.5
        root = statistics.fmean(gap**2 for gap in gaps) ** 0.5
        print(
            f"{side} - torchdistill: {100 * mean:+.2f} points on average over {len(gaps)} pairs and methods; "
            f"which differ by {100 * root:.2f} (rms), where seeds alone would cause {100 * noise:.2f}"
        )


def ratios(rows: Sequence[Record]) -> str:
    """Return torchdistill's wall seconds over those of each side of distillab."""
    reference, auto, fp32 = (
        sum(row["wall_seconds"] for row in rows if row["side"] == side) for side in SIDES
    )
    return f"ratio_auto={reference / auto:.2f} ratio_fp32={reference / fp32:.2f}"


def print_all(rows: Sequence[Record]) -> None:
    """Print all tables of the rows, ``ratio_auto=X ratio_fp32=Y`` last."""
    first = rows[0]
    print(f"{first['seeds']} seeds, {first['images']} images, {first['steps']} steps per run")
    print_tables(rows)
    print_noise(rows)
    pairs = list(dict.fromkeys(row["pair"] for row in rows))
    for pair in pairs if len(pairs) > 1 else ():
        print(f"{pair}: {ratios([row for row in rows if row['pair'] == pair])}")
    print(ratios(rows))


def write_csv(rows: Sequence[Record], path: Path) -> None:
    """Write the rows."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def read_csv(path: Path) -> list[Record]:
    """Return the rows that :func:`write_csv` wrote."""
    with path.open(newline="") as file:
        return [
            {key: value if key in ("pair", "side") else float(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


if __name__ == "__main__":
    if sys.argv[1:]:
        print_all(read_csv(Path(sys.argv[1])))
    else:
        print("nothing to show: give the CSV that benchmarks/study_cost.py wrote with --out")
