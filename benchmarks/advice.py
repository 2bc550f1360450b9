"""How right is the adviser on data sets that it has not seen? A replay from the runs of an evidence base.

    python benchmarks/advice.py [--base DIR] [--margin 0.005] [--write]

Simulates the adviser at budgets of 0, 5, 15 and 60 minutes, and the rules that it must beat (always plain,
always kd, the teacher's lead over a linear probe, a static ranking of methods, prior only, pilot only, an
oracle), from stored runs, one base set left out at a time; nothing is trained. Prints the table, and with
``--write`` writes docs/results/advice.csv, from which docs/advice.md is made (``make tables``). Without
``--base`` it reads the evidence base of the package. A minute.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from distillab.advise.replay import MARGIN, replay
from distillab.api.advice import read_base
from distillab.artefacts import write_atomically
from distillab.evidence.pairs import Row

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "advice.csv"
SHOWN = (
    "policy",
    "contexts",
    "base_sets",
    "abstained",
    "decided",
    "right",
    "sign_right",
    "sign_low",
    "coverage",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the replay of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", type=Path, help="the folder of an evidence base")
    parser.add_argument("--margin", type=float, default=MARGIN, help="margin of practical equivalence")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args(arguments)
    base = read_base(options.base)
    if base is None:
        print("The package has no evidence base: name one with --base DIR.")
        return 0
    rows = [score.as_row() for score in replay(base, margin=options.margin)]
    print("  ".join([*SHOWN, "regret"]))
    for row in rows:
        print("  ".join([*(_text(row[name]) for name in SHOWN), _text(row["regret"])]))
    if options.write:
        write_csv(rows, RESULT)
    return 0


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the scores of all policies, shares with four digits."""
    with write_atomically(path) as draft, draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in row.items()})


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
