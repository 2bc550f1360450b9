"""What the programs that write tables into pages share: tables, blocks between markers, ``--check``."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results"
Record = dict[str, str]


def read_csv(path: Path) -> list[Record]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def replace_block(text: str, name: str, new: str, page: Path) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: The text has not exactly one such place.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
    text, found = pattern.subn(lambda match: f"{match[1]}\n{new}\n{match[2]}", text)
    if found != 1:
        raise ValueError(f"{page} has {found} places for {name}, and must have one")
    return text


def block(text: str, name: str) -> str:
    """Return what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def gain_with_interval(gain: float, low: float, high: float) -> str:
    """Return a gain in points with its interval: ``+2.3 [1.2, 3.7]``."""
    return f"{gain:+.1f} [{low:.1f}, {high:.1f}]"


def write_or_check(
    about: str | None, files: Callable[[], Mapping[Path, str]], arguments: Sequence[str] | None
) -> int:
    """Write files, or with ``--check`` write nothing and return 1 if one is not up to date."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(arguments).check
    changed = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    if not check:
        for path, text in changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(check and bool(changed))
