"""Verdicts as a table: one row per rule of a claim and scale."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from distillab.artefacts import write_atomically
from distillab.claims.scales import ClaimScale
from distillab.claims.verdict import ClaimVerdict, RuleFinding
from distillab.errors import RequestError

VERDICTS_FILE = "claims.csv"
_OF_VERDICT = ("claim", "version", "scale", "verdict", "because", "dataset", "runs", "failed", "minutes")
_OF_RULE = (
    *("rule", "answer", "estimate", "low", "high", "n_pairs", "margin", "could_see"),
    *("least", "most", "unit", "note"),
)
VERDICT_COLUMNS = (*_OF_VERDICT, *_OF_RULE)
_WHOLE = frozenset({"version", "runs", "failed", "n_pairs"})
_NUMBERS = frozenset({"minutes", "estimate", "low", "high", "margin", "could_see", "least", "most"})


def write_verdicts(verdicts: Iterable[ClaimVerdict], path: Path) -> None:
    """Write a table of verdicts, sorted by claim and scale.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
        >>> finding = RuleFinding("kd helps", "supported", 0.02, 0.015, 0.025, 10, 0.01, 0.015)
        >>> verdict = ClaimVerdict("demo", 1, "laptop", "supported", "Kd helps.", (finding,), minutes=3.0)
        >>> write_verdicts([verdict], path)
        >>> read_verdicts(path.read_text()) == (verdict,)
        True
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, VERDICT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for verdict in sorted(verdicts, key=lambda each: (each.claim, each.scale)):
        own = asdict(verdict)
        for finding in verdict.findings or (None,):
            rule = asdict(finding) if finding else {}
            values = {name: own[name] for name in _OF_VERDICT} | rule
            writer.writerow({name: _written(values.get(name)) for name in VERDICT_COLUMNS})
    with write_atomically(path) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


def read_verdicts(text: str, where: str = VERDICTS_FILE) -> tuple[ClaimVerdict, ...]:
    """Return the verdicts of a table that :func:`write_verdicts` wrote.

    Args:
        text: The content of the file.
        where: Its name, for errors.

    Raises:
        RequestError: It is not such a table.

    Example:
        >>> read_verdicts("claim,version")
        Traceback (most recent call last):
        distillab.errors.RequestError: claims.csv: this is not a table of verdicts (allowed: the columns ...
    """
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != VERDICT_COLUMNS:
        columns = ", ".join(VERDICT_COLUMNS)
        raise RequestError("this is not a table of verdicts", where=where, allowed=f"the columns {columns}")
    rows = [{name: _read(name, value) for name, value in row.items()} for row in reader]
    verdicts = []
    for _, group in groupby(rows, lambda row: (row["claim"], row["version"], row["scale"])):
        of_claim = list(group)
        found = tuple(
            RuleFinding(**{name: row[name] for name in _OF_RULE}) for row in of_claim if row["rule"]
        )
        first = {name: of_claim[0][name] for name in _OF_VERDICT}
        verdicts.append(replace(ClaimVerdict(**first), findings=found))
    return tuple(verdicts)


def published_verdicts() -> Mapping[tuple[str, ClaimScale], ClaimVerdict]:
    """Return the verdicts that come with the package, by claim and scale.

    Example:
        >>> all(verdict.claim == claim for (claim, _), verdict in published_verdicts().items())
        True
    """
    file = files("distillab.claims") / VERDICTS_FILE
    verdicts = read_verdicts(file.read_text(encoding="utf-8")) if file.is_file() else ()
    return {(each.claim, each.scale): each for each in verdicts}


def merged_verdicts(held: Sequence[ClaimVerdict], new: Iterable[ClaimVerdict]) -> list[ClaimVerdict]:
    """Return verdicts in which new ones replace those on the same claim and scale.

    Example:
        >>> first = ClaimVerdict("demo", 1, "laptop", "undecided", "Too few seeds.")
        >>> [each.verdict for each in merged_verdicts([first], [replace(first, verdict="supported")])]
        ['supported']
    """
    by_key = {(each.claim, each.scale): each for each in (*held, *new)}
    return list(by_key.values())


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(name: str, value: str) -> Any:
    if name in _WHOLE:
        return int(value or 0)
    if name in _NUMBERS:
        return float(value) if value else (0.0 if name == "minutes" else None)
    return value
