"""Which arithmetic a network is trained in: what was asked, else what a trial finds, and finds remembered."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from distillab.artefacts import write_atomically
from distillab.data.storage import cache_folder
from distillab.training.numerics.benchmark import Rates, Workload, bf16_is_worth_timing, can_compile, measure
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.device import fast_bf16
from distillab.training.recipe import Recipe

# What is not the default must be this much faster than it: timings of a few seconds are not exact.
LEAST_GAIN = 1.10
# Seconds of compute a worker: a study that takes less is not worth a trial; a network whose trainings take
# less is not worth timing in another format of memory, which seldom gains a tenth, or compiling, which costs
# up to a minute: what a tenth gains in ten, and it seldom gains that.
LEAST_STUDY = 60.0
LEAST_FORMATTED = 300.0
LEAST_COMPILED = 1800.0

AS_ASKED = "as asked"

Timer = Callable[[Workload, Sequence[NumericsConfig], torch.device], Rates]


@dataclass(frozen=True)
class Choice:
    """The arithmetic chosen for a network.

    ``rates``: images a second of every candidate, None for one that failed; empty if none was timed. Of
    training steps, or of forwards of a network that is not ``trained``.
    ``why``: in a few words.
    """

    numerics: NumericsConfig
    why: str
    rates: Mapping[NumericsConfig, float | None] = field(default_factory=dict)
    trained: bool = True

    def __str__(self) -> str:
        return f"{self.numerics} ({self.reason})"

    @property
    def reason(self) -> str:
        """Why, with the rates that it was chosen by."""
        rates = (f"{each} {'failed' if rate is None else f'{rate:.0f}'}" for each, rate in self.rates.items())
        what = "training images/s" if self.trained else "images/s, asked"
        return f"{self.why}; {what}: {', '.join(rates)}" if self.rates else self.why

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form, for the ledger."""
        rates = {str(each): rate for each, rate in self.rates.items()}
        asked = self.why == AS_ASKED
        return {"arithmetic": str(self.numerics), "reason": self.reason, "asked": asked, "rates": rates}


def standard(device: torch.device) -> NumericsConfig:
    """What is used unless a trial finds better: bf16 where a GPU has it, fp32 elsewhere; channels last."""
    return NumericsConfig(precision="bf16" if fast_bf16(device) else "fp32")


def choose(
    workload: Workload,
    asked: Recipe,
    device: torch.device,
    *,
    study_seconds: float,
    images: float,
    timer: Timer | None = None,
    memory: Memory | None = None,
) -> Choice:
    """Choose how a network computes, by a timed trial if the study is long enough to repay it. Of one that is
    not trained only the precision is timed: its forwards are never compiled.

    Args:
        workload: what is timed.
        asked: the recipe: what it names is not chosen but taken.
        device: where.
        study_seconds: estimate of the study's compute on each worker, at a nominal rate.
        images: images, with repetitions, that each worker sends through this network.
        timer: times candidates; by default, here and now, interleaved.
        memory: earlier rates; by default the user's cache.
    """
    start = asked.numerics(standard(device))
    if "auto" not in (asked.precision, asked.memory_format, asked.compile):
        return Choice(start, AS_ASKED)
    if study_seconds < LEAST_STUDY:
        return Choice(start, "not timed: the study takes about a minute at most")
    known = _Known(workload, device, timer or measure, memory or Memory.of_user())
    best = replace(start, compile=False)
    rates = dict[NumericsConfig, float | None]()

    def compare(others: Sequence[NumericsConfig], least: float = 0.0) -> None:
        """Change to one of the others if it is faster and the network's trainings take ``least`` seconds."""
        nonlocal best, rates
        rate = rates.get(best)
        if others and (rate is None or images / rate >= least):
            turns = known.rates([best, *others])
            rates |= turns
            best = faster(best, turns)

    # One thing after the other: the format of memory is timed in the precision that won.
    compare(other_precisions(best, asked, device))
    if not workload.trained:
        return Choice(best, known.how, rates, trained=False)
    compare(other_formats(best, asked), LEAST_FORMATTED)
    if asked.compile == "auto" and can_compile(device):
        rates = rates or known.rates([best])
        compare([replace(best, compile=True)], LEAST_COMPILED)
    elif asked.compile is True:
        best = replace(best, compile=True)
    return Choice(best, known.how, rates)


def other_precisions(now: NumericsConfig, asked: Recipe, device: torch.device) -> list[NumericsConfig]:
    """``now`` in the precision that may be faster, if the recipe leaves it open."""
    tried = asked.precision == "auto" and now.precision == "fp32" and bf16_is_worth_timing(device)
    return [replace(now, precision="bf16")] if tried else []


def other_formats(now: NumericsConfig, asked: Recipe) -> list[NumericsConfig]:
    """``now`` in the other format of memory, if the recipe leaves it open."""
    return [replace(now, memory_format="contiguous")] if asked.memory_format == "auto" else []


def faster(default: NumericsConfig, rates: Mapping[NumericsConfig, float | None]) -> NumericsConfig:
    """The fastest of the candidates if it gains more than a tenth on ``default``, else ``default``."""
    timed = {each: rate for each, rate in rates.items() if rate is not None}
    best = max(timed, key=lambda each: timed[each], default=default)
    return best if default not in timed or timed[best] > LEAST_GAIN * timed[default] else default


# -- its memory ---------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """Rates of earlier trials in a JSON file: by machine and workload, then by candidate.

    A file that cannot be read counts as empty, one that cannot be written is left: then trials are made
    again. To measure anew, delete it.
    """

    path: Path

    @classmethod
    def of_user(cls) -> Memory:
        """``numerics.json`` in the :func:`~distillab.data.storage.cache_folder`."""
        return cls(cache_folder() / "arithmetic.json")

    def recall(self, key: str) -> dict[str, float | None]:
        """The rates known under ``key``, by the candidate's name."""
        found = self._read().get(key)
        if not isinstance(found, dict):
            return {}
        return {name: rate for name, rate in found.items() if rate is None or isinstance(rate, float)}

    def keep(self, key: str, rates: Mapping[str, float | None]) -> None:
        """Add rates under ``key``; the file is replaced whole."""
        everything = self._read()
        everything[key] = self.recall(key) | dict(rates)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as draft:
                draft.write_text(json.dumps(everything, indent=1, sort_keys=True), encoding="utf-8")
        except OSError:
            return  # a cache folder that cannot be written costs a trial a study, and no result

    def _read(self) -> dict[str, Any]:
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}


class _Known:
    """Rates of a workload on this machine: those that are remembered, and the others timed when asked for."""

    def __init__(self, workload: Workload, device: torch.device, timer: Timer, memory: Memory) -> None:
        self.workload, self.device, self.timer, self.memory = workload, device, timer, memory
        kernels = "; deterministic" if device.type == "cuda" else ""  # which others were timed before
        self.key = f"{machine(device)}; torch {torch.__version__}; {_told(workload)}{kernels}"
        self.remembered = True

    @property
    def how(self) -> str:
        """How the rates came to be known."""
        return "remembered" if self.remembered else "timed here"

    def rates(self, wanted: Sequence[NumericsConfig]) -> Rates:
        held = self.memory.recall(self.key)
        if not all(str(each) in held for each in wanted):
            self.remembered = False
            now = self.timer(self.workload, wanted, self.device)
            # Only what is timed in turns is comparable, for a machine has busier hours than others: what is
            # new is entered as it compares to the first, which stands as it is.
            first = held.get(str(wanted[0])), now[wanted[0]]
            scale = first[0] / first[1] if first[0] and first[1] else 1.0
            new = {str(each): rate and rate * scale for each, rate in now.items()}
            held = new | held
            self.memory.keep(self.key, held)
        return {each: held[str(each)] for each in wanted}


def machine(device: torch.device) -> str:
    """The processor, its cores, and the GPU if that is the device."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    gpu = f"; {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{cpu}; {os.cpu_count()} cores; {device.type}{gpu}"


def _told(workload: Workload) -> str:
    what = f"{workload.model}; {workload.inputs}; batch {workload.batch}; {workload.threads} threads"
    return what if workload.trained else f"{what}; forwards"
