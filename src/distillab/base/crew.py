"""A slice of the making by several processes, with its progress."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from distillab.base.design import Design
from distillab.base.making import OutFolder, Slice
from distillab.base.sets import BaseSet
from distillab.forkserver import workers_context

POLL_SECONDS = 0.5
SHOW_SECONDS = 60.0
OnLine = Callable[[str], None]
SliceEvent = tuple[int, str, bool]  # worker, context, whether it is made


@dataclass(frozen=True)
class SliceMade:
    """What a slice has done.

    Attributes:
        contexts: Contexts that it has made.
        left: Contexts that are not made yet.
        broken: Contexts at which a process ended with an error, one sentence each.

    Example:
        >>> SliceMade(contexts=3, left=157, broken=()).left
        157
    """

    contexts: int
    left: int
    broken: tuple[str, ...]


def make_slice(
    designs: Sequence[Design], out: OutFolder, *, minutes: float, workers: int, show: OnLine
) -> SliceMade:
    """Make contexts of some designs, one design after the other, for so many minutes.

    A context at which a process ends with an error is left out by the others, and tried again by the next
    slice.

    Args:
        designs: The designs.
        out: Where contexts are made.
        minutes: The length of the slice, without the preparation of base sets.
        workers: The number of processes.
        show: Shows a line of progress.

    Raises:
        RequestError: A base set cannot be read.
    """
    sets = [
        out.prepare(each, lambda name, done, of: show(f"preparing {name} ({done + 1} of {of})"))
        for each in designs
    ]
    crew = _Crew(designs, out, sets, time.monotonic() + 60 * minutes, show)
    crew.run(workers)
    return SliceMade(len(crew.made), crew.left(), tuple(crew.broken.values()))


def make_contexts(
    number: int,
    designs: Sequence[Design],
    out: Path,
    sets: Sequence[Mapping[str, BaseSet]],
    until: float,
    skipped: frozenset[str],
    events: SimpleQueue[SliceEvent],
) -> None:
    """Make contexts in a process of its own, which ends after its current job if its parent is gone.

    ``until`` is a time of the monotonic clock, which the processes share.
    """
    parent = multiprocessing.parent_process()
    for design, facts in zip(designs, sets, strict=True):
        part = Slice(
            design,
            OutFolder(out),
            facts,
            until,
            on_context=lambda name, made: events.put((number, name, made)),
            stopped=lambda: parent is not None and not parent.is_alive(),
            skipped=skipped,
        )
        part.run()


class _Crew:
    """The processes of a slice."""

    def __init__(
        self,
        designs: Sequence[Design],
        out: OutFolder,
        sets: Sequence[Mapping[str, BaseSet]],
        until: float,
        show: OnLine,
    ) -> None:
        self.made: set[str] = set()
        self.broken: dict[str, str] = {}
        self._designs, self._out, self._sets, self._until, self._show = designs, out, sets, until, show
        self._context = workers_context()
        self._events: SimpleQueue[SliceEvent] = self._context.SimpleQueue()
        self._at: dict[int, str] = {}
        self._started, self._shown = time.monotonic(), time.monotonic()

    def left(self) -> int:
        """Return how many contexts are not made."""
        return sum(
            not self._out.is_made(design.name(index))
            for design in self._designs
            for index in range(design.file.contexts)
        )

    def run(self, workers: int) -> None:
        """Work until no process is left."""
        running = {number: self._start(number) for number in range(workers)}
        try:
            while running:
                time.sleep(POLL_SECONDS)
                self._read()
                for number, process in list(running.items()):
                    if process.is_alive():
                        continue
                    self._read()
                    del running[number]
                    if process.exitcode and self._note_death(number, process.exitcode):
                        running[number] = self._start(number)
                self._show_progress()
        finally:
            for process in running.values():
                process.terminate()
                process.join()

    def _start(self, number: int) -> BaseProcess:
        skipped = frozenset(self.broken)
        arguments = (number, self._designs, self._out.path, self._sets, self._until, skipped, self._events)
        process = self._context.Process(target=make_contexts, args=arguments, daemon=True)
        process.start()
        return process

    def _note_death(self, number: int, code: int) -> bool:
        """Note the context at which a process ended; return True if another process can go on without it."""
        name = self._at.pop(number, None)
        if name is None:
            self.broken[f"worker {number}"] = f"a process ended with code {code} before its first context"
            return False
        self.broken[name] = f"{name}: its process ended with code {code}; the next slice tries it again"
        self._show(self.broken[name])
        return True

    def _read(self) -> None:
        while not self._events.empty():
            number, name, made = self._events.get()
            self._at[number] = name
            if made:
                self.made.add(name)

    def _show_progress(self) -> None:
        now = time.monotonic()
        if now - self._shown < SHOW_SECONDS:
            return
        self._shown = now
        left = self.left()
        pace = (now - self._started) / len(self.made) if self.made else None
        hours = f", about {pace * left / 3600:.1f} h for all" if pace else ""
        rest = max(0.0, self._until - now) / 60
        at = ", ".join(sorted(self._at.values()))
        self._show(
            f"{len(self.made)} contexts made, {left} left{hours}; at {at}; {rest:.0f} min of this slice left"
        )
