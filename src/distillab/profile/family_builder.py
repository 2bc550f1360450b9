"""Build a family measure by measure and charge each measure for its own time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from distillab.profile.measure import Family, Gallery, Grid, Interval, Measure, Unit


class Stopwatch:
    """Time the work that several measures share, so that no single measure is charged for it.

    Attributes:
        shared: Seconds by name of the work.

    Example:
        >>> watch = Stopwatch()
        >>> with watch.charging("embedding"):
        ...     pass
        >>> list(watch.shared)
        ['embedding']
    """

    def __init__(self) -> None:
        self.shared: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds of all shared work."""
        return sum(self.shared.values())

    @contextmanager
    def charging(self, name: str) -> Iterator[None]:
        """Charge the body to ``name``. Nested shared work is charged to the inner name only."""
        started, before = time.perf_counter(), self.total
        yield
        inner = self.total - before
        self.shared[name] = self.shared.get(name, 0.0) + time.perf_counter() - started - inner


class FamilyBuilder:
    """Collect the measures, galleries, tables and notes of one family.

    The time that passes between two calls of :meth:`add`, without shared work, is the cost of the second
    measure.

    Args:
        key: Name of the family in JSON.
        title: Heading of the family.
        watch: Times the shared work.

    Example:
        >>> from distillab.profile.measure import exact_interval
        >>> family = FamilyBuilder("size", "Size and shape", Stopwatch())
        >>> family.add("images", "images", 300, exact_interval(300), 300, "The size.", unit="count")
        >>> family.build().measures[0].value
        300.0
    """

    def __init__(self, key: str, title: str, watch: Stopwatch) -> None:
        self._key, self._title, self._watch = key, title, watch
        self._measures: list[Measure] = []
        self._galleries: list[Gallery] = []
        self._grids: list[Grid] = []
        self._notes: list[str] = []
        self._restart_clock()

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
        """Add a measure; see :class:`~distillab.profile.measure.Measure` for the arguments."""
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
        self._restart_clock()

    def add_gallery(self, gallery: Gallery) -> None:
        """Add a gallery unless it holds no pictures."""
        if any(row for _, row in gallery.rows):
            self._galleries.append(gallery)

    def add_grid(self, grid: Grid) -> None:
        """Add a table."""
        self._grids.append(grid)

    def add_note(self, sentence: str) -> None:
        """Add a sentence about what was left out, and why."""
        self._notes.append(sentence)

    def build(self) -> Family:
        """Return the family."""
        return Family(
            self._key,
            self._title,
            tuple(self._measures),
            tuple(self._galleries),
            tuple(self._grids),
            tuple(self._notes),
        )

    def _restart_clock(self) -> None:
        self._started, self._shared = time.perf_counter(), self._watch.total
