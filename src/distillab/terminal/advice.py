"""What the command line prints about an advice: the answer in plain words first."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from distillab.printable import printable
from distillab.terminal.console import make_console
from distillab.terminal.progress import Clock, PlainLines
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


@contextlib.contextmanager
def advice_progress(
    budget: float, stream: TextIO | None = None, *, clock: Clock = time.time
) -> Iterator[Callable[[str, float, float], None]]:
    """Show what an advice is doing, and how much of its budget is left.

    Args:
        budget: Seconds of the budget.
        stream: Where to write, by default the error stream, so that ``--json`` output stays JSON.
        clock: Returns seconds since the epoch.

    Example:
        >>> from io import StringIO
        >>> times, written = iter([0.0, 90.0, 90.0]), StringIO()
        >>> with advice_progress(900, written, clock=lambda: next(times)) as on_progress:
        ...     on_progress("race: ce, kd, 3 pairs of 200 steps", 0.5, 600.0)
        >>> written.getvalue().split(maxsplit=1)[1].strip()  # after the time of day
        'race: ce, kd, 3 pairs of 200 steps: 50 %, at most 0:10:00 left'
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        lines = PlainLines(stream, clock=clock)

        def on_line(stage: str, share: float, left: float) -> None:
            if lines.is_due():
                lines.write(f"{stage}: {100 * share:.0f} %{_left(budget, left)}")

        yield on_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading data", total=1.0)

        def on_bar(stage: str, share: float, left: float) -> None:
            progress.update(task, description=f"{printable(stage)}{_left(budget, left)}", completed=share)

        yield on_bar


def _left(budget: float, left: float) -> str:
    return f", at most {time_span(left)} left" if budget > 0 else ""
