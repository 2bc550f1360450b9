"""What ``distillab across`` prints: plain words, harm first, then the gains of every method by base set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from distillab.printable import printable
from distillab.terminal.console import make_console

if TYPE_CHECKING:
    from distillab.api.across_sets import Across

BASE_SETS_SHOWN = 12


def print_across(found: Across, page: Path | None = None) -> None:
    """Print conclusions over several data sets.

    Args:
        found: The conclusions.
        page: Where their page was written; None if it was not.

    Example:
        >>> from distillab.api.across_sets import Across
        >>> from distillab.evidence.across import ContextTable, conclude_across
        >>> from distillab.tasks import Classification
        >>> print_across(Across(conclude_across(ContextTable(()), Classification())))
        No context has a pair of a distilled and a plain student.
    """
    answer = found.answer
    harms = [f"Harm: {sentence}" for sentence in answer.harms]
    for line in (answer.headline, *harms, *answer.sentences):
        typer.echo(printable(line))
    if found.found.methods:
        make_console().print(_gains(found))
    for caveat in answer.caveats:
        typer.echo(printable(f"Note: {caveat}"))
    if page is not None:
        typer.echo(printable(f"page: {page}"))


def _gains(found: Across) -> Table:
    """Return the gains by base set, a column per method."""
    from distillab.evidence.wording import amount

    across = found.found
    metric = across.task.metrics[across.task.primary]
    title = Text(f"Gain in {metric.label}, {metric.unit}")
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("base set")
    for method in across.methods:
        table.add_column(printable(method.method), justify="right")
    by_method = [{each.base_set: each.gain for each in method.by_base_set} for method in across.methods]
    names = across.table.base_sets
    for name in names[:BASE_SETS_SHOWN]:
        gains = [gains.get(name) for gains in by_method]
        table.add_row(printable(name), *("–" if gain is None else amount(gain, metric) for gain in gains))
    if len(names) > BASE_SETS_SHOWN:
        table.add_row(f"{len(names) - BASE_SETS_SHOWN} more", *("" for _ in across.methods))
    return table
