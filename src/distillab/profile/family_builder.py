"""Notebook: measures written down as they are made, each with what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from distillab.profile.measure import Family, Gallery, Grid, Interval, Measure, Unit


class Stopwatch:
    """Seconds of the work that several measures share, by name, so that none of them is charged for it."""

    def __init__(self) -> None:
        self.shared: dict[str, float] = {}
        self._depth = 0

    @property
    def total(self) -> float:
        """Seconds of all shared work."""
        return sum(self.shared.values())

    @contextmanager
    def charging(self, name: str) -> Iterator[None]:
        """The body is shared work. Work inside of shared work is charged to the inner name alone."""
        started, before = time.perf_counter(), self.total
        yield
        inner = self.total - before
        self.shared[name] = self.shared.get(name, 0.0) + time.perf_counter() - started - inner


class FamilyBuilder:
    """Collects the measures of one family. What passes between two entries is the cost of the second."""

    def __init__(self, key: str, title: str, watch: Stopwatch) -> None:
        self._key, self._title, self._watch = key, title, watch
        self._measures: list[Measure] = []
        self._galleries: list[Gallery] = []
        self._grids: list[Grid] = []
        self._notes: list[str] = []
        self._mark()

    def add(
        self,
        key: str,
        label: str,
        value: float,
        interval: Interval,
        n: int,
        means: str,
        *,
        unit: Unit = "",
        hypothesis: bool = False,
        claims: tuple[str, ...] = (),
        alarm: str = "",
    ) -> None:
        """Write down a measure; see :class:`~distillab.profile.measure.Measure`."""
        now = time.perf_counter()
        seconds = max(0.0, now - self._started - (self._watch.total - self._shared))
        self._measures.append(
            Measure(
                key=key,
                label=label,
                value=float(value),
                interval=interval,
                n=int(n),
                seconds=seconds,
                means=means,
                unit=unit,
                hypothesis=hypothesis,
                claims=claims,
                alarm=alarm,
            )
        )
        self._mark()

    def show(self, gallery: Gallery) -> None:
        """Write down pictures, if there are any."""
        if any(row for _, row in gallery.rows):
            self._galleries.append(gallery)

    def tabulate(self, grid: Grid) -> None:
        """Write down a table."""
        self._grids.append(grid)

    def note(self, sentence: str) -> None:
        """Write down what was left out, and why."""
        self._notes.append(sentence)

    def close(self) -> Family:
        """The family."""
        return Family(
            self._key,
            self._title,
            tuple(self._measures),
            tuple(self._galleries),
            tuple(self._grids),
            tuple(self._notes),
        )

    def _mark(self) -> None:
        self._started, self._shared = time.perf_counter(), self._watch.total
