"""The numerics of a network: what the recipe requests, else the fastest in a timed trial."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from distillab.canonical import JsonObject
from distillab.training.numerics.benchmark import (
    Rates,
    Workload,
    bf16_is_worth_timing,
    can_compile,
    time_candidates,
)
from distillab.training.numerics.cache import BenchmarkCache
from distillab.training.numerics.config import NumericsConfig, NumericsRequest
from distillab.training.numerics.device import has_native_bf16

# A candidate must be this much faster than the default: timings of a few seconds are not exact.
LEAST_GAIN = 1.10
# Seconds of compute per worker. A study that takes less than LEAST_STUDY is not worth a trial. A network
# whose trainings take less than LEAST_FORMATTED is not worth timing in another memory format, which seldom
# gains a tenth, and one below LEAST_COMPILED is not worth compiling, which costs up to a minute.
LEAST_STUDY = 60.0
LEAST_FORMATTED = 300.0
LEAST_COMPILED = 1800.0

AS_REQUESTED = "as requested"

Timer = Callable[[Workload, Sequence[NumericsConfig], torch.device], Rates]


@dataclass(frozen=True)
class NumericsChoice:
    """The numerics chosen for a network.

    Attributes:
        numerics: What was chosen.
        why: Why, in a few words.
        rates: Images per second of every candidate, None for one that failed; empty if none was timed.
        trained: Whether the rates are those of training steps, or of forward passes.

    Example:
        >>> print(NumericsChoice(NumericsConfig(), "timed here", {NumericsConfig(): 900.0}))
        fp32 channels_last eager (timed here; training examples/s: fp32 channels_last eager 900)
    """

    numerics: NumericsConfig
    why: str
    rates: Mapping[NumericsConfig, float | None] = field(default_factory=dict)
    trained: bool = True

    def __str__(self) -> str:
        return f"{self.numerics} ({self.reason})"

    @property
    def reason(self) -> str:
        """Why it was chosen, with the rates that decided."""
        rates = (f"{each} {'failed' if rate is None else f'{rate:.0f}'}" for each, rate in self.rates.items())
        what = "training examples/s" if self.trained else "forward examples/s"
        return f"{self.why}; {what}: {', '.join(rates)}" if self.rates else self.why

    def as_dict(self) -> JsonObject:
        """Return a JSON form, for the ledger."""
        return {
            "arithmetic": str(self.numerics),
            "reason": self.reason,
            "asked": self.why == AS_REQUESTED,
            "rates": {str(each): rate for each, rate in self.rates.items()},
        }


def default_numerics(device: torch.device) -> NumericsConfig:
    """Return what is used unless a trial finds better: bf16 where a GPU has it, else fp32; channels last.

    Example:
        >>> print(default_numerics(torch.device("cpu")))
        fp32 channels_last eager
    """
    return NumericsConfig(precision="bf16" if has_native_bf16(device) else "fp32")


def select_numerics(
    workload: Workload,
    request: NumericsRequest,
    device: torch.device,
    *,
    study_seconds: float,
    images: float,
    timer: Timer = time_candidates,
    cache: BenchmarkCache | None = None,
) -> NumericsChoice:
    """Choose how a network computes, by a timed trial if the study is long enough to repay it.

    Of a network that is not trained only the precision is timed: its forward passes are never compiled.

    Args:
        workload: What is timed.
        request: What the recipe fixes; it is not timed.
        device: Where the network computes.
        study_seconds: Estimate of the study's compute on each worker, at a nominal rate.
        images: Images, with repetitions, that each worker sends through this network.
        timer: Times candidates; by default in turns, on this machine.
        cache: Earlier rates; by default those of the user.

    Example:
        >>> from distillab.models import InputSpec
        >>> workload = Workload("resnet8", 10, InputSpec(3, 32, 32), batch=64)
        >>> request = NumericsRequest("fp32", "channels_last", compile=False)
        >>> print(select_numerics(workload, request, torch.device("cpu"), study_seconds=1e6, images=1e6))
        fp32 channels_last eager (as requested)
    """
    start = request.resolve(default_numerics(device))
    if request.is_fixed:
        return NumericsChoice(start, AS_REQUESTED)
    if study_seconds < LEAST_STUDY:
        return NumericsChoice(start, "not timed: the study takes about a minute at most")
    known = _RateLookup(workload, device, timer, cache or BenchmarkCache.of_user())
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

    # One thing after the other: the memory format is timed in the precision that won.
    compare(other_precisions(best, request, device))
    if not workload.trained:
        return NumericsChoice(best, known.source, rates, trained=False)
    compare(other_formats(best, request), LEAST_FORMATTED)
    if request.compile == "auto" and can_compile(device):
        rates = rates or known.rates([best])
        compare([replace(best, compile=True)], LEAST_COMPILED)
    elif request.compile is True:
        best = replace(best, compile=True)
    return NumericsChoice(best, known.source, rates)


def other_precisions(
    now: NumericsConfig, request: NumericsRequest, device: torch.device
) -> list[NumericsConfig]:
    """Return ``now`` in the precision that may be faster, if the request leaves it open."""
    tried = request.precision == "auto" and now.precision == "fp32" and bf16_is_worth_timing(device)
    return [replace(now, precision="bf16")] if tried else []


def other_formats(now: NumericsConfig, request: NumericsRequest) -> list[NumericsConfig]:
    """Return ``now`` in the other memory format, if the request leaves it open."""
    return [replace(now, memory_format="contiguous")] if request.memory_format == "auto" else []


def faster(default: NumericsConfig, rates: Mapping[NumericsConfig, float | None]) -> NumericsConfig:
    """Return the fastest candidate if it gains more than a tenth on ``default``, else ``default``."""
    timed = {each: rate for each, rate in rates.items() if rate is not None}
    best = max(timed, key=lambda each: timed[each], default=default)
    return best if default not in timed or timed[best] > LEAST_GAIN * timed[default] else default


class _RateLookup:
    """Rates of a workload on this machine: those in the cache, and the others timed when they are needed."""

    def __init__(self, workload: Workload, device: torch.device, timer: Timer, cache: BenchmarkCache) -> None:
        self.workload, self.device, self.timer, self.cache = workload, device, timer, cache
        kernels = "; deterministic" if device.type == "cuda" else ""  # earlier versions timed others
        self.key = f"{machine_name(device)}; torch {torch.__version__}; {_key(workload)}{kernels}"
        self.all_cached = True

    @property
    def source(self) -> str:
        """Where the rates are from."""
        return "timed before" if self.all_cached else "timed here"

    def rates(self, wanted: Sequence[NumericsConfig]) -> Rates:
        held = self.cache.rates(self.key)
        if not all(str(each) in held for each in wanted):
            self.all_cached = False
            now = self.timer(self.workload, wanted, self.device)
            # Only rates of the same trial are comparable, since a machine is busier at times: new ones are
            # entered by how they compare to the first candidate, whose rate stays.
            first = held.get(str(wanted[0])), now[wanted[0]]
            scale = first[0] / first[1] if first[0] and first[1] else 1.0
            new = {str(each): rate and rate * scale for each, rate in now.items()}
            held = new | held
            self.cache.add(self.key, held)
        return {each: held[str(each)] for each in wanted}


def machine_name(device: torch.device) -> str:
    """Return the processor, its cores, and the GPU if that is the device."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    gpu = f"; {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{cpu}; {os.cpu_count()} cores; {device.type}{gpu}"


def _key(workload: Workload) -> str:
    what = f"{workload.model}; {workload.inputs}; batch {workload.batch}; {workload.threads} threads"
    return what if workload.trained else f"{what}; forwards"
