"""The selftest: train a laboratory, draw studies from it, and hold what they conclude to its bounds."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.forkserver import workers_context
from distillab.selftest.lab import Lab, LabSize, train_lab
from distillab.selftest.studies import PAIRS, Line, measure_lab

FULL_MINUTES = 20.0
"""Minutes that the whole selftest takes at most, on two cores."""
LEAST = LabSize(teachers=3, seeds=6, test_images=50, studies=40, test_size=100)
TABLE = "selftest.csv"

Argument = TypeVar("Argument")
Result = TypeVar("Result")
OnStage = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


@dataclass(frozen=True)
class SelfTest:
    """What a selftest found.

    Attributes:
        lines: The lines of its table.
        size: How much was trained and drawn.
        reduced: Whether it was reduced, so that its shares are less certain.
        seconds: Seconds that it took.

    Example:
        >>> SelfTest((Line("coverage", 5, "one", 400, 0.90, 0.93),), LabSize(), reduced=False).passed
        False
    """

    lines: tuple[Line, ...]
    size: LabSize
    reduced: bool
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all lines pass."""
        return all(line.passed for line in self.lines)

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {
            "passed": self.passed,
            "reduced": self.reduced,
            "networks": self.size.networks,
            "seconds": self.seconds,
            "lines": self.table(),
        }

    def table(self) -> list[JsonObject]:
        """Return one row per line, shares as fractions."""
        return [
            {
                "check": line.check,
                "pairs": line.pairs,
                "teachers": line.teachers,
                "studies": line.studies,
                "share": line.share,
                "standard_error": line.error,
                "least": line.least,
                "most": line.most,
                "tolerance": line.tolerance,
                "passed": line.passed,
            }
            for line in self.lines
        ]


def size_for(minutes: float) -> LabSize:
    """Return the size of a selftest of some minutes; the whole one takes 20 at most.

    Raises:
        RequestError: The number of minutes is not positive.

    Example:
        >>> size_for(20) == LabSize(), size_for(5).teachers
        (True, 3)
    """
    if not minutes > 0:
        raise RequestError(f"{minutes:g} is not accepted", where="--minutes", allowed="more than 0")
    share = min(1.0, minutes / FULL_MINUTES)
    whole, side = LabSize(), share**0.5  # the number of networks is that of teachers times that of seeds
    return replace(
        whole,
        teachers=max(LEAST.teachers, round(side * whole.teachers)),
        seeds=max(LEAST.seeds, round(side * whole.seeds)),
        test_images=max(LEAST.test_images, round(side * whole.test_images)),
        studies=max(LEAST.studies, round(share * whole.studies)),
        test_size=max(LEAST.test_size, round(side * whole.test_size)),
    )


def run_selftest(
    out: Path | None = None,
    *,
    minutes: float = FULL_MINUTES,
    workers: int = 2,
    on_progress: OnStage | None = None,
) -> SelfTest:
    """Train a laboratory of small networks, draw studies from it, and measure how often these are right.

    Args:
        out: A folder for the table (``selftest.csv``) and the laboratory, which is not trained again if the
            folder has one of the same size.
        minutes: With less than 20, a reduced selftest with fewer networks and studies.
        workers: Worker processes. Their number does not change the result.
        on_progress: Called while networks are trained and studies are drawn.

    Raises:
        RequestError: The minutes are not positive, or the folder cannot be written.

    Example:
        >>> run_selftest(minutes=0)
        Traceback (most recent call last):
        distillab.errors.RequestError: --minutes: 0 is not accepted (allowed: more than 0)
    """
    size, began = size_for(minutes), time.monotonic()
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"cannot write there ({error.strerror})",
                where=f"--out {out}",
                allowed="a folder you can write",
            ) from error
    reduced = size != LabSize()
    with _Workers(workers) as pool:
        lab = _lab(size, out, pool, on_progress)
        lines: list[Line] = []
        measured = pool.map(partial(_measured, lab, size, reduced), PAIRS)
        for done in range(len(PAIRS)):
            if on_progress:
                on_progress("drawing studies", done, len(PAIRS))
            lines += next(measured)
    found = SelfTest(tuple(lines), size, reduced, time.monotonic() - began)
    if out is not None:
        _write(found, out / TABLE)
    return found


def _measured(lab: Lab, size: LabSize, reduced: bool, pairs: int) -> list[Line]:
    return measure_lab(lab, size, pairs, reduced=reduced)


def _lab(size: LabSize, out: Path | None, pool: _Workers, on_progress: OnStage | None) -> Lab:
    """Return the laboratory of a size, from the folder if it is there, else trained by all workers."""
    path = None if out is None else out / f"lab-{size.teachers}-{size.seeds}-{size.test_images}.npz"
    if path is not None and path.is_file():
        return Lab.read(path)
    if on_progress:
        on_progress("training networks", 0, size.networks)
    ends = [size.seeds * worker // pool.number for worker in range(pool.number + 1)]
    lab = Lab.joined(list(pool.map(partial(train_lab, size), [range(*each) for each in pairwise(ends)])))
    if path is not None:
        lab.save(path)
    return lab


class _Workers:
    """Worker processes of one thread each, or this process if there is one.

    Args:
        number: Their number.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._threads = torch.get_num_threads()
        self._pool = (
            ProcessPoolExecutor(number, workers_context(), initializer=_use_one_thread)
            if number > 1
            else None
        )

    def map(self, function: Callable[[Argument], Result], items: Iterable[Argument]) -> Iterator[Result]:
        """Return the results of a function, in order."""
        return self._pool.map(function, items) if self._pool else map(function, items)

    def __enter__(self) -> _Workers:
        if self._pool is None:
            _use_one_thread()
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is None:
            torch.set_num_threads(self._threads)
        else:
            self._pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _write(found: SelfTest, path: Path) -> None:
    rows = found.table()
    with write_atomically(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
