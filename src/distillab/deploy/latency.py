"""Times of forward passes: several models in turn, so that other work on the machine meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from distillab.canonical import JsonObject

FEWEST_ROUNDS, MOST_ROUNDS = 10, 300
WARM_UP = 3  # runs after the first that are not counted


@dataclass(frozen=True)
class Latency:
    """Times of the forward passes of one model at one batch size, in milliseconds.

    Attributes:
        batch: Examples per pass.
        first: Of the first pass, which also prepares memory.
        p50: Median of the counted passes.
        p95: Their 95th percentile.
        rounds: Their number.

    Example:
        >>> Latency(batch=8, first=9.0, p50=4.0, p95=5.0, rounds=100).throughput
        2000.0
    """

    batch: int
    first: float
    p50: float
    p95: float
    rounds: int

    @property
    def throughput(self) -> float:
        """Examples per second, at the median."""
        return 1000.0 * self.batch / self.p50

    def as_dict(self) -> JsonObject:
        """Return the JSON form; times are in milliseconds."""
        times = {f"{key}_ms": value for key, value in asdict(self).items() if key not in ("batch", "rounds")}
        return {"batch": self.batch, **times, "throughput": self.throughput, "rounds": self.rounds}


def time_in_turn(
    passes: Mapping[str, Callable[[], object]],
    batch: int,
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latency]:
    """Return the times of several models that run in turn.

    Args:
        passes: By model, a function that does one forward pass.
        batch: Examples per pass.
        seconds: Time that all counted passes together take about, within 10 to 300 rounds.
        clock: Returns seconds.

    Example:
        >>> found = time_in_turn({"a": lambda: None, "b": lambda: None}, 1, seconds=0.0)
        >>> found["a"].rounds
        10
    """

    def timed(run: Callable[[], object]) -> float:
        started = clock()
        run()
        return 1000.0 * (clock() - started)

    first = {name: timed(run) for name, run in passes.items()}
    warm = [timed(run) for _ in range(WARM_UP) for run in passes.values()]
    one_round = len(passes) * float(np.median(warm)) / 1000.0
    rounds = int(np.clip(seconds / max(one_round, 1e-9), FEWEST_ROUNDS, MOST_ROUNDS))
    times: dict[str, list[float]] = {name: [] for name in passes}
    order = list(passes)
    for turn in range(rounds):
        for name in order if turn % 2 == 0 else reversed(order):
            times[name].append(timed(passes[name]))
    return {
        name: Latency(
            batch,
            first[name],
            float(np.median(found)),
            float(np.percentile(found, 95)),
            rounds,
        )
        for name, found in times.items()
    }
