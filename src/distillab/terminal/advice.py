"""What the command line prints about an advice: the answer in plain words first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from distillab.printable import printable
from distillab.terminal.console import make_console
from distillab.terminal.wording import time_span

if TYPE_CHECKING:
    from distillab.advise import Advice, EvidenceItem


def print_advice(found: Advice) -> None:
    """Print the answer, the sentences that it rests on, the race, and the next experiment.

    Args:
        found: The advice.

    Example:
        >>> from pathlib import Path
        >>> from distillab.advise import Advice, NextStep
        >>> from distillab.advise.what_if import NOTHING_KNOWN
        >>> nan = float("nan")
        >>> networks = ("digits", "accuracy", "undecided", 0.005, "resnet8", "resnet20", "full", "scratch")
        >>> text = "Undecided: nothing was measured."
        >>> found = Advice("undecided", text, nan, nan, nan, "", nan, (), (), 2.0,
        ...     *networks, {}, {}, (), (), NOTHING_KNOWN, NextStep("Race."), Path("advice/digits"))
        >>> print_advice(found)
        Undecided: nothing was measured.
        <BLANKLINE>
        <BLANKLINE>
        next: Race.
        page: advice/digits/advice.html (0:00:02)
    """
    console = make_console()
    for text in (*_summary(found), "", *map(_behind, found.evidence)):
        console.print(printable(text), soft_wrap=True)
    if found.rungs:
        console.print(_race(found))
    console.print()
    console.print(printable(f"next: {found.next_step.text}"), soft_wrap=True)
    if found.next_step.command:
        console.print(printable(f"    {found.next_step.command}"), soft_wrap=True)
    console.print(printable(f"page: {found.page} ({time_span(found.seconds)})"), soft_wrap=True)


def _summary(found: Advice) -> Iterator[str]:
    """Yield the lines of the answer, the first one in plain words."""
    yield found.headline
    for reason in found.reasons[1:]:
        yield f"! {reason}"
    if found.method:
        yield f"method: {found.method}; {_settings(found)}"
    if math.isfinite(found.harm_risk):
        yield f"risk for tail, worst group or worst class: {100 * found.harm_risk:.0f} %"
    if found.cost:
        yield _cost(found)


def _behind(item: EvidenceItem) -> str:
    """Return a sentence with what it rests on."""
    behind = [f"{len(item.runs)} runs"] if item.runs else []
    behind += [f"contexts {', '.join(item.contexts)}"] if item.contexts else []
    return f"- {item.text}" + (f" [{'; '.join(behind)}]" if behind else "")


def _race(found: Advice) -> Table:
    from distillab.advise.answer import ends_text, points

    table = Table(title="\nrace", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("method", "pairs", "steps", "gain, points", "80 % interval"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for rung in found.rungs:
        ends = ends_text(rung.low, rung.high)
        table.add_row(rung.method, str(rung.pairs), f"{rung.steps:,}", points(rung.gain), ends)
    return table


def _settings(found: Advice) -> str:
    values = found.settings
    tuned = "tuned" if values.get("tuned") else "not tuned"
    return (
        f"{values['steps']:,} steps of {values['batch_size']}, learning rate {values['lr']:g} ({tuned}); "
        f"teacher {found.teacher} ({found.provenance}); student {found.student} from {found.initialisation}"
    )


def _cost(found: Advice) -> str:
    cost = {name: time_span(seconds) for name, seconds in found.cost.items()}
    teacher = f", {cost['teacher_seconds']} for its teacher" if found.cost["teacher_seconds"] else ""
    return (
        f"cost of one full training on one worker here: {cost['plain_seconds']} plain, "
        f"{cost['distilled_seconds']} distilled{teacher}"
    )
