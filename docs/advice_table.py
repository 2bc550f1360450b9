"""Write the tables of docs/advice.md and docs/evidence-base.md: how right the adviser is, what its base is.

python docs/advice_table.py [--check]

``python benchmarks/advice.py --write`` makes docs/results/advice.csv from an evidence base. Without it the
page states that nothing has been measured. With ``--check`` nothing is written, and 1 is returned if a page
would change.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from generated import DOCS, RESULTS, Record, read_csv, replace_block, table, write_or_check

from distillab.base import EvidenceBase, read

PAGE = DOCS / "advice.md"
SOURCE = RESULTS / "advice.csv"
BLOCK = "replay"
DATA_CARD = DOCS / "evidence-base.md"
MADE = "made"
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
    made = replace_block(DATA_CARD.read_text(), MADE, made_text(read()), DATA_CARD)
    return {PAGE: replace_block(PAGE.read_text(), BLOCK, text, PAGE), DATA_CARD: made}


def made_text(base: EvidenceBase) -> str:
    """Return what of the evidence base has been made, by tier and base set."""
    rows = base.contexts.to_pylist()
    if not rows:
        return "Nothing of it has been made yet."
    gains = {pairs.context: 100 * pairs.gain for pairs in base.pairs("kd", usable_only=False)}
    lines = []
    for tier, name in sorted({(row["tier"], row["base_set"]) for row in rows}):
        own = [row for row in rows if (row["tier"], row["base_set"]) == (tier, name)]
        usable = [row["context"] for row in own if row["excluded_because"] is None]
        known = [gains[each] for each in usable if each in gains]
        cells = [f"{each(known):+.1f}" for each in (np.min, np.median, np.max)] if known else ["–"] * 3
        lines.append([tier, f"`{name}`", str(len(own)), str(len(usable)), *cells])
    head = ("tier", "base set", "contexts", "usable", "smallest gain of kd, points", "median", "largest")
    runs = sum(row["kind"] == "run" for row in base.runs.select(["kind"]).to_pylist())
    serving = sum(row["excluded_because"] is None for row in rows)
    return (
        f"{table(head, lines)}\n\n{len(rows)} contexts with {runs:,} runs so far, of which {serving} "
        "contexts are usable: the others are starved (below)."
    )


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
