"""What the command line prints while a student is distilled, and its answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distillab.printable import printable
from distillab.terminal.console import make_console
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
    lines += [f"! {file} is not written: {reason}" for file, reason in found.not_written.items()]
    if found.next_step:
        lines.append(f"next: {found.next_step}")
    spent = f"{time_span(found.seconds)} of {time_span(found.budget)}"
    lines.append(f"study: {found.study / 'report.html'} ({spent})")
    for line in lines:
        console.print(printable(line), soft_wrap=True)
