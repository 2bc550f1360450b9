"""Write the measured tables of docs/factors/*.md, from docs/results/factors.csv and studies/factors/.

python docs/factors_table.py [--check]

Everything below the line ``<!-- measured -->`` of a page is replaced: for every study of the factor its
question, its picture, how long its networks were trained, and its rows of the table, which
``benchmarks/factor_studies.py --table`` wrote. With ``--check`` nothing is written, and 1 is returned if
something would change.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from generated import DOCS, RESULTS, Record, gain_with_interval, read_csv, table, write_or_check

STUDIES = DOCS.parent / "studies" / "factors"
PAGES = DOCS / "factors"
MEASURED = "<!-- measured -->"
HEAD = (
    *("level", "teacher", "method", "measure", "plain, %", "distilled, %", "gain, points", "pairs"),
    *("verdict", "corrected verdict"),
)


def pages() -> dict[Path, str]:
    """Return the text of every page that has measured tables."""
    rows = read_csv(RESULTS / "factors.csv")
    texts = {}
    for path in sorted(PAGES.glob("*.md")):
        names = [name for name in dict.fromkeys(row["study"] for row in rows) if page_of(name) == path]
        if names:
            before = path.read_text().partition(MEASURED)[0]
            texts[path] = f"{before}{MEASURED}\n{measured(rows, names)}"
    return texts


def page_of(study: str) -> Path:
    """Return the page of the factor that a study is about: ``shift-corruption`` belongs to shift.md."""
    return PAGES / f"{study.partition('-')[0]}.md"


def measured(rows: Sequence[Record], names: Sequence[str]) -> str:
    """Return the section on the studies of a factor."""
    mine = [row for row in rows if row["study"] in names]
    title = "Measured" if all(map(converged, mine)) else "Measured in early training"
    lines = ["", f"## {title}", ""]
    for name in names:
        lines += [*block(name, [row for row in mine if row["study"] == name]), ""]
    return "\n".join(lines)


def converged(row: Record) -> bool:
    """Return True if longer training is known not to change the row."""
    return row["converged"] == "yes"


def block(name: str, rows: Sequence[Record]) -> Iterator[str]:
    """Yield the lines of Markdown about one study."""
    text = (STUDIES / f"{name}.yaml").read_text()
    first = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
    question = " ".join(line[2:] for line in first)
    yield f"**[{name}.yaml](../../studies/factors/{name}.yaml).** {question}"
    yield ""
    if (DOCS / "images" / "factors" / f"{name}.png").is_file():
        yield f"![The same images as read and at each level](../images/factors/{name}.png)"
        yield ""
    yield caption(rows)
    yield ""
    yield table(HEAD, (_cells(row) for row in rows if row["gain"]))


def caption(rows: Sequence[Record]) -> str:
    """Return how long the networks of a study were trained, and what its corrected verdicts hold for."""
    first = rows[0]
    length = (
        "Trained until longer training changes nothing" if all(map(converged, rows)) else "Early training"
    )
    teachers = {row["provenance"]: row for row in rows if row["gain"]}
    trained = " and ".join(
        f"the `{provenance}` {_teachers(int(row['n_teachers']))} {row['teacher_steps']} steps"
        for provenance, row in teachers.items()
    )
    return (
        f"*{length}: {first['steps']} steps of {first['batch_size']} examples per student, {trained}; "
        "defaults, nothing tuned. Corrected verdicts hold together with the others on the same measure of "
        "this study.*"
    )


def _teachers(count: int) -> str:
    return "teacher, the same for all pairs," if count == 1 else f"teachers, {count} per level,"


def _cells(row: Record) -> list[str]:
    plain, distilled, gain, low, high = (
        float(row[name]) for name in ("plain", "distilled", "gain", "ci_low", "ci_high")
    )
    return [
        *(row[name] for name in ("level", "provenance", "method")),
        row["metric"].replace("_", " "),
        f"{plain:.1f}",
        f"{distilled:.1f}",
        gain_with_interval(gain, low, high),
        *(row[name] for name in ("n_pairs", "verdict", "verdict_family")),
    ]


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, pages, None))
