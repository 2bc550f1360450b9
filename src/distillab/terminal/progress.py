"""Progress of long commands: a bar in a terminal, and a plain line a minute elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from distillab.printable import counted, printable
from distillab.study.job import Kind
from distillab.study.ledger import JobState
from distillab.study.status import StudyStatus, study_status
from distillab.terminal.wording import clock_time, time_span

if TYPE_CHECKING:  # a command that only looks prints without torch, which takes seconds to import
    from distillab.evidence.so_far import BestSoFar
    from distillab.study.folder import StudyFolder
    from distillab.study.loading import LoadProgress

LINE_SECONDS = 60.0  # between lines of output that is not a terminal

Clock = Callable[[], float]


class PlainLines:
    """Lines for output that is not a terminal, each with the time of day.

    Args:
        stream: Where they are written.
        every: Seconds between lines that are not forced.
        clock: Returns seconds since the epoch.

    Example:
        >>> lines = PlainLines(sys.stdout, every=60, clock=lambda: 0.0)
        >>> lines.is_due()
        False
    """

    def __init__(self, stream: TextIO, *, every: float = LINE_SECONDS, clock: Clock = time.time) -> None:
        self._stream, self._every, self._clock = stream, every, clock
        self._last = clock()

    def is_due(self) -> bool:
        """Return True if the last line, or the start, was long enough ago."""
        return self._clock() - self._last >= self._every

    def write(self, text: str) -> None:
        """Write a line now."""
        self._last = self._clock()
        self._stream.write(f"{clock_time(self._last)} {printable(text)}\n")
        self._stream.flush()


@contextlib.contextmanager
def _bar(label: str) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("wall time, left"),
        # The rate is averaged over a long window: jobs differ in length, and the estimate would jump.
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=600
    ) as progress:
        progress.add_task(label, total=None, visible=False)
        yield progress


@contextlib.contextmanager
def load_progress(stream: TextIO | None = None, *, clock: Clock = time.time) -> Iterator[LoadProgress]:
    """Show how far the stages before training are: reading, applying factors, timing, measuring.

    Args:
        stream: Where to write, by default the error stream, so that ``--json`` output stays JSON.
        clock: Returns seconds since the epoch.

    Example:
        >>> from io import StringIO
        >>> times, written = iter([0.0, 90.0, 90.0]), StringIO()
        >>> with load_progress(written, clock=lambda: next(times)) as on_load:
        ...     on_load("decoding images", 250, 1000)
        >>> written.getvalue().split(maxsplit=1)[1].strip()  # after the time of day
        'decoding images: 250 of 1,000'
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        lines = PlainLines(stream, clock=clock)

        def on_load(what: str, done: int, total: int) -> None:
            if done < total and lines.is_due():
                lines.write(f"{what}: {done:,} of {total:,}")

        yield on_load
        return
    with _bar("reading data") as progress:
        task = progress.task_ids[0]

        def on_load_bar(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total, visible=done < total)

        yield on_load_bar


class RunProgress:
    """Progress of a run: a bar where the error stream is a terminal, lines where an output is not.

    Args:
        bar: The bar, if any.
        lines: The lines, if any.
        clock: Returns seconds since the epoch.

    Attributes:
        bar: The bar, if any.
        lines: The lines, if any.
    """

    def __init__(self, bar: Progress | None, lines: PlainLines | None, clock: Clock = time.time) -> None:
        self.bar, self.lines, self._clock = bar, lines, clock
        self._folder: StudyFolder | None = None
        self._best: BestSoFar | None = None
        self._began, self._before = 0.0, 0

    def begin(self, folder: StudyFolder) -> None:
        """Write the first line: what there is to do."""
        self._folder = folder
        if self.lines is not None:
            found = study_status(folder.path, clock=self._clock)
            self._began, self._before = self._clock(), found.finished_runs
            self.lines.write(f"{found.study}: {_amount_of_work(found)}, in {folder.path}")

    def __call__(self, share: float) -> None:
        """Update the bar, and write a line if the last one was a minute ago."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=share, total=1.0, visible=True)
        if self.lines is not None and self._folder is not None and self.lines.is_due():
            self.lines.write(self._line(self._folder))

    def _line(self, folder: StudyFolder) -> str:
        from distillab.evidence.so_far import BestSoFar

        self._best = self._best or BestSoFar(folder)
        found = study_status(folder.path, clock=self._clock)
        hours = (self._clock() - self._began) / 3600
        rate = (found.finished_runs - self._before) / hours if hours > 0 else 0.0
        parts = [f"{describe_jobs(found)}, {rate:,.0f} runs per hour", describe_left(found)]
        if found.tuning and found.tuning.text:
            parts.insert(0, found.tuning.text)
        if best := self._best.describe():
            parts.append(f"best so far: {best}")
        return "; ".join(parts)


@contextlib.contextmanager
def run_progress(
    out: TextIO | None = None, err: TextIO | None = None, *, clock: Clock = time.time
) -> Iterator[RunProgress]:
    """Show the progress of a run.

    A terminal at the error stream gets a bar. Output that is not a terminal (a pipe, a log) gets a line at
    the start and one a minute: the standard output if it is none, else the error stream if that is none.

    Args:
        out: The standard output.
        err: The error stream.
        clock: Returns seconds since the epoch.

    Example:
        >>> from io import StringIO
        >>> with run_progress(StringIO(), StringIO()) as progress:
        ...     progress(0.5)
        >>> progress.bar is None, progress.lines is None
        (True, False)
    """
    out, err = out or sys.stdout, err or sys.stderr
    piped = next((stream for stream in (out, err) if not stream.isatty()), None)
    lines = None if piped is None else PlainLines(piped, clock=clock)
    if not err.isatty():
        yield RunProgress(None, lines, clock)
        return
    with _bar("training") as bar:
        yield RunProgress(bar, lines, clock)


def describe_jobs(found: StudyStatus) -> str:
    """Return how many jobs are done, running, left and failed: ``25 of 54 jobs done, 2 running, 27 left``."""
    total = sum(found.count(state) for state in JobState if not state.is_withheld)
    text = f"{found.count(JobState.DONE)} of {total} jobs done, {found.count(JobState.RUNNING)} running, "
    text += f"{found.count(JobState.QUEUED)} waiting"
    failed = found.count(JobState.FAILED)
    return f"{text}, {failed} failed" if failed else text


def describe_left(found: StudyStatus) -> str:
    """Return the wall time that is left, as far as it is known."""
    if found.count(JobState.QUEUED) + found.count(JobState.RUNNING) == 0:
        return "nothing left to run"
    if found.training_seconds_left is None:
        return "time left not known before the first job is done"
    if found.wall_seconds_left is None:
        return f"about {time_span(found.training_seconds_left)} of training time left; no worker is running"
    workers = counted(found.workers, "worker")
    return f"about {time_span(found.wall_seconds_left)} of wall time left with {workers}"


def _amount_of_work(found: StudyStatus) -> str:
    counts = {kind: sum(states.values()) for kind, states in found.jobs.items()}
    nouns = {kind: f"{counted(counts.get(kind, 0), noun)}{rest}" for kind, (noun, rest) in _NOUNS.items()}
    parts = [text for kind, text in nouns.items() if counts.get(kind)]
    done = found.count(JobState.DONE)
    return f"{', '.join(parts)}" + (f" ({done} done before)" if done else "")


_NOUNS: dict[Kind, tuple[str, str]] = {
    "student": ("student", ""),
    "teacher": ("teacher", ""),
    "outputs": ("set", " of teacher outputs"),
}
