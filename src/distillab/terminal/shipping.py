"""What the command line prints while a student is distilled, and its answer."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from distillab.printable import printable
from distillab.terminal.console import make_console
from distillab.terminal.progress import Clock, PlainLines
from distillab.terminal.wording import time_span

if TYPE_CHECKING:
    from distillab.shipping import ShippingAnswer


def print_shipping(found: ShippingAnswer) -> None:
    """Print which student to use, the scores behind it, and where it is.

    Args:
        found: The answer.

    Example:
        >>> from pathlib import Path
        >>> from distillab.shipping import ShippingAnswer
        >>> nan = float("nan")
        >>> print_shipping(ShippingAnswer("undecided", "Undecided.", "accuracy", nan, nan, nan, 0, "", {},
        ...     nan, nan, nan, None, None, Path("out"), 60.0, 61.0, next_step="Run it again."))
        Undecided.
        next: Run it again.
        study: out/report.html (0:01:01 of 0:01:00)
    """
    console = make_console()
    lines = [found.headline]
    scores = {"distilled": found.distilled_score, "plain": found.plain_score, "teacher": found.teacher_score}
    known = [f"{name} {100 * score:.1f} %" for name, score in scores.items() if math.isfinite(score)]
    if known:
        lines.append(f"{found.metric} on test: {', '.join(known)}")
    lines += [f"! {harm}" for harm in found.harms]
    if found.artifact is not None and found.run is not None:
        lines.append(
            f"student: {found.artifact} ({found.run.student} by {found.run.method}, seed {found.run.seed})"
        )
    if found.next_step:
        lines.append(f"next: {found.next_step}")
    spent = f"{time_span(found.seconds)} of {time_span(found.budget)}"
    lines.append(f"study: {found.study / 'report.html'} ({spent})")
    for line in lines:
        console.print(printable(line), soft_wrap=True)


@contextlib.contextmanager
def shipping_progress(
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
        >>> with shipping_progress(900, written, clock=lambda: 0.0) as (on_stage, on_line):
        ...     on_line("teacher resnet20: accuracy 91.2 % on val")
        >>> written.getvalue().split(maxsplit=1)[1].strip()  # after the time of day
        'teacher resnet20: accuracy 91.2 % on val'
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        lines = PlainLines(stream, clock=clock)

        def on_line_of_stage(stage: str, share: float, left: float) -> None:
            if lines.is_due():
                lines.write(f"{stage}: {100 * share:.0f} %, at most {time_span(left)} of the budget left")

        yield on_line_of_stage, lines.write
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading data", total=1.0)

        def on_bar(stage: str, share: float, left: float) -> None:
            text = f"{printable(stage)}, at most {time_span(left)} left"
            progress.update(task, description=text, completed=share)

        def on_text(text: str) -> None:
            progress.console.print(printable(text), soft_wrap=True, highlight=False)

        yield on_bar, on_text
