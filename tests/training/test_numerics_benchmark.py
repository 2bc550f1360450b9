"""Timed trials: real steps are timed, in turns, and a candidate that fails has no rate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from distillab.training.numerics import NumericsConfig, benchmark, config
from distillab.training.numerics.benchmark import time_candidates
from support.numerics import WORKLOAD
from support.training import CPU

DEFAULT = NumericsConfig()
CONTIGUOUS = NumericsConfig(memory_format="contiguous")
COMPILED = NumericsConfig(compile=True)


def test_a_slow_candidate_gets_fewer_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It drops out after the first rounds, and has a median all the same."""
    calls = dict.fromkeys(("quick", "near", "slow"), 0)
    seconds = {"quick": 1.0, "near": 1.4, "slow": 1.6}
    now = [0.0]

    def step(name: str) -> Callable[[], None]:
        def call() -> None:
            calls[name] += 1
            now[0] += seconds[name]

        return call

    monkeypatch.setattr(benchmark, "TRIAL_SECONDS", 0.0)
    steps = {name: step(name) for name in calls}
    medians = benchmark._medians(list(steps.values()), lambda: now[0])
    least, first = benchmark.LEAST_ROUNDS, benchmark.FIRST_ROUNDS
    assert calls == {"quick": least, "near": least, "slow": first}
    assert {name: medians[call] for name, call in steps.items()} == pytest.approx(seconds)


@pytest.mark.parametrize(("compiler", "present"), [("no-such-compiler", False), (sys.executable, True)])
def test_the_compiler_named_in_cxx_is_used(
    compiler: str, present: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert benchmark.can_compile(CPU) is present


def test_real_steps_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate has a rate; the caller's random state and threads are as they were."""
    monkeypatch.setattr(benchmark, "TRIAL_SECONDS", 0.0)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    timed = time_candidates(WORKLOAD, [DEFAULT, CONTIGUOUS], CPU)
    assert all(rate is not None and rate > 0 for rate in timed.values())
    assert list(timed) == [DEFAULT, CONTIGUOUS]
    [forwards] = time_candidates(replace(WORKLOAD, trained=False), [DEFAULT], CPU).values()
    assert forwards is not None and forwards > 0
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_candidate_that_fails_to_compile_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the C++ compiler is broken")

    monkeypatch.setattr(benchmark, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(config, "_compiler", lambda: broken)
    timed = time_candidates(WORKLOAD, [DEFAULT, COMPILED], CPU)
    assert timed[DEFAULT] is not None
    assert timed[COMPILED] is None
