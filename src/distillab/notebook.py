"""What notebooks show: progress in the output of a cell, and tables in the place of printed objects."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from distillab.printable import printable

Show = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""

_EVERY = 0.25  # seconds between updates
_ESTIMABLE = 0.02  # the share from which the time left is estimated


def in_notebook() -> bool:
    """Return True if this process is the kernel of a notebook.

    Example:
        >>> in_notebook()
        False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class TimeLeft:
    """The time left of a stage, from the share that was done since the stage was first shown.

    Stages before it do not count, nor does what was done before a study was resumed.

    Example:
        >>> left = TimeLeft()
        >>> print(left.of("training", 0.5, now=60.0), left.of("training", 0.75, now=90.0))
        None 0:00:30
    """

    def __init__(self) -> None:
        self._stage: str | None = None
        self._began = self._first = 0.0

    def of(self, stage: str, share: float, now: float) -> timedelta | None:
        """Return the time left; None if too little was done for an estimate.

        Args:
            stage: What is being done.
            share: The share of it that is done.
            now: The time in seconds.
        """
        if stage != self._stage or share < self._first:
            self._stage, self._began, self._first = stage, now, share
        done = share - self._first
        if done <= _ESTIMABLE:
            return None
        return timedelta(seconds=round((now - self._began) * (1 - share) / done))


@contextmanager
def notebook_progress(clock: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Show progress in the output of a notebook's cell. Elsewhere nothing is shown.

    Args:
        clock: Seconds.

    Yields:
        A function to call with what is being done and the share that is done.

    Example:
        >>> with notebook_progress() as show:
        ...     show("training", 0.5)
    """
    if not in_notebook():
        yield lambda what, share: None
        return
    from IPython.display import display

    started = last = clock()
    estimate = TimeLeft()
    show_output: Callable[..., Any] = display
    handle = show_output(_bundle("", "starting"), raw=True, display_id=True)

    def show(what: str, share: float) -> None:
        nonlocal last
        now = clock()
        left = estimate.of(what, share, now)
        if now - last < _EVERY and share < 1:
            return
        last = now
        text = f"{100 * share:.0f} % {what}"
        if left is not None:
            text += f", about {left} left"
        handle.update(_bundle(f'<progress max="1" value="{share:.4f}"></progress> ', text), raw=True)

    try:
        yield show
    finally:
        handle.update(_bundle("", f"{timedelta(seconds=round(clock() - started))} in total"), raw=True)


def html_table(title: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table as HTML. All texts are escaped.

    Args:
        title: The line above it.
        rows: The cells of each row.
        header: The names of the columns, if they are shown.

    Example:
        >>> html_table("Plan", [("runs", "12")])
        '<b>Plan</b><table><tbody><tr><td ...>runs</td><td ...>12</td></tr></tbody></table>'
    """
    head = "".join(f'<th style="text-align:left">{_text(name)}</th>' for name in header)
    lines = ["".join(f'<td style="text-align:left">{_text(cell)}</td>' for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    heading = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<b>{_text(title)}</b><table>{heading}<tbody>{body}</tbody></table>"


def _text(value: str) -> str:
    return html.escape(printable(value))


def _bundle(picture: str, text: str) -> dict[str, str]:
    return {"text/html": f"{picture}{_text(text)}", "text/plain": text}
