"""Write the tables of docs/methods.md: the methods from the registry, their gains from docs/results/.

python docs/methods_table.py [--check]

The text between a pair of markers, ``<!-- NAME -->`` and ``<!-- /NAME -->``, is replaced; the rest of the
page is left as it is. With ``--check`` nothing is written, and 1 is returned if something would change.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Sequence

from generated import DOCS, RESULTS, Record, read_csv, replace_block, table, write_or_check

from distillab.methods import methods, parse_method
from distillab.methods.method import Method

PAGE = DOCS / "methods.md"
DEVIATION = re.compile(r"Deviations?: ")
FAMILIES = {
    "controls": "Controls",
    "logits": "Logits",
    "features": "Features",
    "relations": "Relations",
    "detection": "Detectors",
    "robust": "Unbalanced, noisy or biased data",
    "regimes": "Without a teacher",
}
GAINS = {
    "cnn": "resnet20 teaches resnet8",
    "vit": "resnet20 teaches timm:test_vit",
}
GAINS_HEAD = (
    *("method", "accuracy", "gain in points (95 %)", "pairs", "verdict", "corrected verdict"),
    *("time per step", "MiB per step"),
)


def registry_tables() -> str:
    """Return a table per family, from the registry alone."""
    parts = []
    head = ["method", "what it does", "needs", "tasks", "defaults"]
    for family, title in FAMILIES.items():
        rows = [_row(methods[name]) for name in methods if _family(methods[name]) == family]
        parts.append(f"### {title}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def _family(kind: type[Method]) -> str:
    return kind.__module__.split(".")[2]


def _row(kind: type[Method]) -> list[str]:
    about = (inspect.getdoc(kind) or "").split("\n")[0].replace("``", "`")
    paper = f" {kind.paper}." if kind.paper else ""
    needs = ", ".join(sorted(kind.needs)).replace("_", " ")
    tasks = "all" if kind.tasks is None else ", ".join(sorted(kind.tasks))
    return [f"`{kind.name}`", about + paper, needs, tasks, _defaults(kind)]


def _defaults(kind: type[Method]) -> str:
    config = kind.Config().model_dump(mode="json")
    return ", ".join(f"{key} {_shown(value)}" for key, value in config.items()) or "none"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(_shown(each) for each in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} ({_shown(inner)})" for key, inner in value.items())
    return str(value)


def deviations_table() -> str:
    """Return the deviations from papers and their programs, from the docstrings of methods."""
    rows = []
    for name in methods:
        paragraphs = (inspect.getdoc(methods[name]) or "").split("\n\n")
        for text in paragraphs:
            found = DEVIATION.match(text)
            if found:
                rows.append([f"`{name}`", " ".join(text[found.end() :].split()).replace("``", "`")])
    return table(["method", "deviation and reason"], rows)


def gains_tables() -> str:
    """Return a table per pair of networks, from the files that ``benchmarks/methods.py --table`` wrote."""
    parts = []
    for pair, title in GAINS.items():
        path = RESULTS / f"methods-{pair}.csv"
        if path.exists():
            rows = sorted(read_csv(path), key=lambda row: (row["method"] != "ce", row["method"]))
            where = json.loads(path.with_suffix(".json").read_text())
            measured = (
                f"Measured on {where['date']}: {where['processor']}, {where['cores']} cores, torch "
                f"{where['torch']}. {_together(rows)}"
            )
            parts.append(
                f"### Early training: {title}\n\n{measured}\n\n{table(GAINS_HEAD, map(_gain, rows))}"
            )
    return "\n\n".join(parts) or "Nothing has been measured yet."


def _together(rows: Sequence[Record]) -> str:
    """Return how many verdicts hold alone and how many together."""
    compared = [row for row in rows if row["gain"]]
    alone, together = (
        sum(row[name] != "undecided" for row in compared) for name in ("verdict", "verdict_family")
    )
    return (
        f"Of {len(compared)} comparisons {alone} have a verdict alone, "
        f"and {together} after correction for all of them."
    )


def _gain(row: Record) -> list[str]:
    name, accuracy = f"`{row['method']}`{_revised(row)}", f"{100 * float(row['accuracy']):.1f} %"
    if not row["gain"]:
        return [name, accuracy, "", "", "the plain student", "", "1", "0"]
    gain = f"{float(row['gain']):+.1f} ({float(row['ci_low']):+.1f} to {float(row['ci_high']):+.1f})"
    cost = [row["step_time"], row["step_mib"]]
    return [name, accuracy, gain, row["seeds"], row["verdict"], row["verdict_family"], *cost]


def _revised(row: Record) -> str:
    """Return a note if the method has been revised since it was measured."""
    now = parse_method(row["method"], "methods").revision
    return f" (before revision {now})" if int(row.get("revision") or now) < now else ""


def page(text: str) -> str:
    """Return the page with new tables."""
    generated = {
        "registry": registry_tables(),
        "deviations": deviations_table(),
        "gains": gains_tables(),
    }
    for name, tables in generated.items():
        text = replace_block(text, name, tables, PAGE)
    return text


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, lambda: {PAGE: page(PAGE.read_text())}, None))
