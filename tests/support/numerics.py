"""Timed trials whose rates are given, and the networks of tests of numerics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillab.models import InputSpec
from distillab.training.numerics import (
    BenchmarkCache,
    NumericsChoice,
    NumericsConfig,
    Workload,
    select_numerics,
)
from distillab.training.numerics.benchmark import Rates
from distillab.training.recipe import Recipe
from support.training import CPU

WORKLOAD = Workload("resnet8", classes=3, inputs=InputSpec.square(1, 8), batch=10)
LONG = 1e7  # seconds, or images at one per second: worth every trial


class FakeTimer:
    """A timer with given rates, which records the candidates of each trial."""

    def __init__(self, rates: Rates) -> None:
        self.rates, self.trials = rates, list[list[NumericsConfig]]()

    def __call__(
        self, workload: Workload, candidates: Sequence[NumericsConfig], device: torch.device
    ) -> Rates:
        self.trials.append(list(candidates))
        return {each: self.rates[each] for each in candidates}


class Selection:
    """``select_numerics`` with a cache of its own, for a study that is long enough for every trial."""

    def __init__(self, folder: Path) -> None:
        self.cache = BenchmarkCache(folder / "cache" / "arithmetic.json")

    def __call__(
        self,
        timer: FakeTimer,
        seconds: float = LONG,
        images: float = LONG,
        workload: Workload = WORKLOAD,
        **keys: Any,
    ) -> NumericsChoice:
        request = Recipe(**keys).numerics
        return select_numerics(
            workload, request, CPU, study_seconds=seconds, images=images, timer=timer, cache=self.cache
        )


def rates(**gains: float | None) -> Rates:
    """Rates of all numerics: 1, times the gains of ``bf16``, ``contiguous`` and ``compiled``."""
    every = [
        NumericsConfig(precision, memory_format, compiled)
        for precision in ("fp32", "bf16")
        for memory_format in ("channels_last", "contiguous")
        for compiled in (False, True)
    ]
    factors = dict.fromkeys(("bf16", "contiguous", "compiled"), 1.0) | gains

    def rate(each: NumericsConfig) -> float | None:
        parts = [factors[part] for part in str(each).split() if part in factors]
        return None if None in parts else float(np.prod(parts))  # type: ignore[arg-type]

    return {each: rate(each) for each in every}
