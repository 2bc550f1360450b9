"""Write the tables of docs/methods.md: the methods from the registry, their gains from docs/results/.

python docs/methods_table.py [--check]

The text between a pair of markers, ``<!-- NAME -->`` and ``<!-- /NAME -->``, is replaced; the rest of the
page is left as it is. With ``--check`` nothing is written, and 1 is returned if something would change.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from distillab.methods import methods, parse_method
from distillab.methods.method import Method

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "methods.md"
DEVIATION = re.compile(r"Deviations?: ")
FAMILIES = {
    "controls": "Controls",
    "logits": "Logits",
    "features": "Features",
    "relations": "Relations",
    "robust": "Unbalanced, noisy or biased data",
    "regimes": "Without a teacher",
}
GAINS = {
    "cnn": "resnet20 teaches resnet8",
    "vit": "resnet20 teaches timm:test_vit",
}


def registry_tables() -> str:
    """Return a table per family, from the registry alone."""
    parts = []
    head = ["method", "what it does", "needs", "tasks", "defaults"]
    for family, title in FAMILIES.items():
        rows = [_row(methods[name]) for name in methods if _family(methods[name]) == family]
        parts.append(f"### {title}\n\n{_table(head, rows)}")
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
    return _table(["method", "deviation and reason"], rows)


def gains_tables() -> str:
    """Return a table per pair of networks, from the files that ``benchmarks/methods.py --table`` wrote."""
    parts = []
    for pair, title in GAINS.items():
        path = DOCS / "results" / f"methods-{pair}.csv"
        if path.exists():
            with path.open(newline="") as file:
                rows = [_gain(row) for row in csv.DictReader(file)]
            head = ["method", "accuracy", "gain in points (95 %)", "verdict", "time per step", "MiB per step"]
            where = json.loads(path.with_suffix(".json").read_text())
            measured = (
                f"Measured on {where['date']}: {where['processor']}, {where['cores']} cores, torch "
                f"{where['torch']}."
            )
            parts.append(f"### {title}\n\n{measured}\n\n{_table(head, rows)}")
    return "\n\n".join(parts) or "Nothing has been measured yet."


def _gain(row: dict[str, str]) -> list[str]:
    name, accuracy = f"`{row['method']}`{_revised(row)}", f"{100 * float(row['accuracy']):.1f} %"
    if not row["gain"]:
        return [name, accuracy, "", "the plain student", "1", "0"]
    gain = f"{float(row['gain']):+.1f} ({float(row['ci_low']):+.1f} to {float(row['ci_high']):+.1f})"
    return [name, accuracy, gain, row["verdict"], row["step_time"], row["step_mib"]]


def _revised(row: dict[str, str]) -> str:
    """Return a note if the method has been revised since it was measured."""
    now = parse_method(row["method"], "methods").revision
    return f" (before revision {now})" if int(row.get("revision") or now) < now else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def page(text: str) -> str:
    """Return the page with new tables."""
    generated = {
        "registry": registry_tables(),
        "deviations": deviations_table(),
        "gains": gains_tables(),
    }
    for name, tables in generated.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, new=tables: f"{match[1]}\n{new}\n{match[2]}", text)
        if found != 1:
            raise ValueError(f"{PAGE} has {found} places for {name}, and must have one")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or return 1 if it is not up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(arguments).check
    before = PAGE.read_text()
    after = page(before)
    if not check:
        PAGE.write_text(after)
    return int(check and before != after)


if __name__ == "__main__":
    sys.exit(main())
