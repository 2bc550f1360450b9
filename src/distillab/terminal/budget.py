"""Progress within a budget: what is done, how much is left, and sentences that stay."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from distillab.printable import printable
from distillab.terminal.progress import Clock, PlainLines
from distillab.terminal.wording import time_span


@contextlib.contextmanager
def budget_progress(
    budget: float, stream: TextIO | None = None, *, clock: Clock = time.time
) -> Iterator[tuple[Callable[[str, float, float], None], Callable[[str], None]]]:
    """Show what is done and how much of the budget is left, and sentences that stay.

    Args:
        budget: Seconds of the budget.
        stream: Where to write, by default the error stream, so that ``--json`` output stays JSON.
        clock: Returns seconds since the epoch.

    Yields:
        A function for (stage, share, seconds left), and one for sentences.

    Example:
        >>> from io import StringIO
        >>> written = StringIO()
        >>> times = iter([0.0, 90.0, 90.0, 90.0])
        >>> with budget_progress(900, written, clock=lambda: next(times)) as (on_stage, on_line):
        ...     on_stage("race: ce, kd, 3 pairs of 200 steps", 0.5, 600.0)
        ...     on_line("teacher resnet20: accuracy 91.2 % on val")
        >>> [line.split(maxsplit=1)[1] for line in written.getvalue().splitlines()]  # after the time of day
        ['race: ce, kd, 3 pairs of 200 steps: 50 %, at most 0:10:00 left', 'teacher resnet20: accuracy ...']
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        lines = PlainLines(stream, clock=clock)

        def on_plain_stage(stage: str, share: float, left: float) -> None:
            if lines.is_due():
                lines.write(f"{stage}: {100 * share:.0f} %{_left(budget, left)}")

        yield on_plain_stage, lines.write
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading data", total=1.0)

        def on_bar(stage: str, share: float, left: float) -> None:
            progress.update(task, description=f"{printable(stage)}{_left(budget, left)}", completed=share)

        def on_text(text: str) -> None:
            progress.console.print(printable(text), soft_wrap=True, highlight=False)

        yield on_bar, on_text


def _left(budget: float, left: float) -> str:
    return f", at most {time_span(left)} left" if budget > 0 else ""
