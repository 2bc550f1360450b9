"""Write the table of docs/advice.md: how right the adviser is, from docs/results/advice.csv.

python docs/advice_table.py [--check]

``python benchmarks/advice.py --write`` makes the CSV from an evidence base. Without it the page states that
nothing has been measured. With ``--check`` nothing is written, and 1 is returned if something would change.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from generated import DOCS, RESULTS, Record, read_csv, replace_block, table, write_or_check

PAGE = DOCS / "advice.md"
SOURCE = RESULTS / "advice.csv"
BLOCK = "replay"
NOT_MEASURED = (
    "The evidence base of this version holds no measured runs, so that the adviser has not been judged yet. "
    "Until then an advice rests on its race alone, and states that."
)
HEAD = (
    *("policy", "abstains", "right of decided", "right side", "lower bound"),
    *("80 % intervals cover", "regret, points"),
)


def page_text(source: Path = SOURCE) -> Mapping[Path, str]:
    """Return the page with its table."""
    text = table(HEAD, map(_cells, read_csv(source))) if source.exists() else NOT_MEASURED
    if source.exists():
        first = read_csv(source)[0]
        text += f"\n\n{first['contexts']} contexts of {first['base_sets']} base sets, each left out in turn."
    return {PAGE: replace_block(PAGE.read_text(), BLOCK, text, PAGE)}


def _cells(row: Record) -> list[str]:
    def share(name: str) -> str:
        return f"{100 * float(row[name]):.0f} %" if row[name] else "–"

    return [
        row["policy"],
        share("abstained"),
        f"{share('right')} of {row['decided']}",
        f"{share('sign_right')} of {row['signs']}",
        share("sign_low"),
        share("coverage"),
        f"{float(row['regret']):.2f}",
    ]


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, page_text, None))
