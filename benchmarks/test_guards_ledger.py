"""A transaction costs the same in a large study as in a small one, as a ratio within one process.

    make bench, or: python -m pytest benchmarks/test_guards_ledger.py

A loop over all jobs in a transaction would show as a ratio near that of the numbers of jobs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from distillab.study.ledger import Ledger
from plan_scale import bare_job

SMALL, LARGE = 200, 20_000
ROUNDS = 80  # fewer than the small ledger has jobs
LARGEST_RATIO = 5.0

Call = Callable[[], Any]


def worker(ledger: Ledger) -> Call:
    """Return what a worker does between two runs."""

    def step() -> None:
        for job in ledger.claim():
            ledger.heartbeat(job.id)
            ledger.done(job.id, 1.0)

    return step


def watcher(ledger: Ledger) -> Call:
    """Return the queries of the process that watches the workers."""
    return lambda: (ledger.progress(), ledger.tally(), ledger.open_jobs(), ledger.seconds())


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """Create a small and a large ledger, in which the four jobs after every fifth one depend on it."""
    with ExitStack() as stack:
        made = []
        for size in (SMALL, LARGE):
            jobs = [bare_job(f"{n}", *([f"{n - n % 5}"] if n % 5 else [])) for n in range(size)]
            ledger = stack.enter_context(Ledger(tmp_path / f"{size}.sqlite"))
            ledger.create({}, jobs, [], [])
            made.append(ledger)
        yield made[0], made[1]


@pytest.mark.parametrize("role", [worker, watcher])
def test_transaction_time_is_independent_of_the_number_of_jobs(
    benchmark: BenchmarkFixture, ledgers: tuple[Ledger, Ledger], role: Callable[[Ledger], Call]
) -> None:
    small, large = (role(ledger) for ledger in ledgers)
    turns = itertools.cycle((small, large))
    # Alternately, so that other work on the machine affects both equally.
    benchmark.pedantic(lambda: next(turns)(), rounds=2 * ROUNDS, iterations=1)
    assert benchmark.stats
    times = benchmark.stats.stats.data
    medians = [sorted(times[start::2])[ROUNDS // 2] for start in (0, 1)]
    ratio = medians[1] / medians[0]
    benchmark.extra_info["ratio"] = ratio
    print(f"{role.__name__}: {LARGE:,} jobs against {SMALL:,}, ratio of medians {ratio:.2f}")
    assert ratio < LARGEST_RATIO
