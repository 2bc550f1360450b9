"""A timed trial: how many images a second a network takes in under different arithmetics, here and now."""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from distillab.machine import tune_allocator
from distillab.models import InputSpec, build_model
from distillab.models.taps import TappedModel
from distillab.training.numerics.config import NumericsConfig, compiled, laid_out, placed
from distillab.training.numerics.device import autocast as autocast
from distillab.training.numerics.device import clock, deterministic_kernels, empty_device_cache, fast_bf16

# Seconds that a candidate is timed for, and in how many turns at least; one that has taken HOPELESS times as
# long as the best after FIRST_ROUNDS has no more of them.
TRIAL_SECONDS = 0.3
LEAST_ROUNDS, FIRST_ROUNDS = 3, 2
HOPELESS = 1.5
BF16_TRIAL = 256  # side of the matrices that tell whether a CPU computes or emulates bf16

# Images a second; None where a candidate failed.
Rates = dict[NumericsConfig, float | None]


@dataclass(frozen=True)
class Workload:
    """What is timed: training steps of a network on batches of images, or forwards if it is not ``trained``.

    ``inputs`` is the shape of one, ``batch`` a number of images, ``threads`` a worker's compute threads.
    """

    model: str
    classes: int
    inputs: InputSpec
    batch: int
    threads: int = 1
    trained: bool = True


def bf16_is_worth_timing(device: torch.device) -> bool:
    """Whether bf16 may be the faster one: on CPUs, whether a small product of matrices says so."""
    if device.type != "cpu":
        return fast_bf16(device)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(BF16_TRIAL, BF16_TRIAL, dtype=dtype)
        seconds[dtype] = min(_seconds(lambda m=matrix: m @ m) for _ in range(LEAST_ROUNDS))  # type: ignore[misc]
    return seconds[torch.bfloat16] <= seconds[torch.float32]


def can_compile(device: torch.device) -> bool:
    """Whether what ``torch.compile`` needs is here: a C++ compiler on CPUs, Triton on CUDA devices."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    named = os.environ.get("CXX")
    return device.type == "cpu" and any(map(shutil.which, [named] if named else ["g++", "clang++"]))


def measure(workload: Workload, chosen: Sequence[NumericsConfig], device: torch.device) -> Rates:
    """Images a second under each arithmetic: medians, the candidates taking turns, of which those that are
    far behind have fewer.

    A candidate that fails to compile has the rate None.
    """
    tune_allocator()  # as workers do
    with _threads(workload.threads), deterministic_kernels(device):
        steps = {each: _warm_step(workload, each, device) for each in chosen}
        seconds = _medians([step for step in steps.values() if step is not None], clock(device))
    rates = {each: None if step is None else workload.batch / seconds[step] for each, step in steps.items()}
    del steps, seconds
    empty_device_cache(device)  # workers are other processes
    return rates


def training_step(workload: Workload, chosen: NumericsConfig, device: torch.device) -> Callable[[], None]:
    """A training step of a new network on random images, again at every call."""
    model, images = _made(workload, chosen, device)
    model.train()
    labels = torch.zeros(workload.batch, dtype=torch.long, device=device)
    forward = compiled(TappedModel(model, ()), chosen.compile)

    def step() -> None:
        with autocast(device, chosen.precision):
            logits = forward(images).logits
        model.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        _descend(model)
        _wait(device)

    return step


def forward_step(workload: Workload, chosen: NumericsConfig, device: torch.device) -> Callable[[], None]:
    """What a new network says about random images, as teachers do; again at every call."""
    model, images = _made(workload, chosen, device)
    model.eval()

    @torch.inference_mode()
    def step() -> None:
        with autocast(device, chosen.precision):
            model(images)
        _wait(device)

    return step


@torch.no_grad()
def _descend(model: nn.Module) -> None:
    """A step against the gradient. torch's optimisers do hardly more than that to a large network, but the
    first of a process imports the compiler, for a second."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=1e-4)


def _made(workload: Workload, chosen: NumericsConfig, device: torch.device) -> tuple[nn.Module, torch.Tensor]:
    """A new network and a batch of random images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(workload.model, classes=workload.classes, inputs=workload.inputs)
        images = torch.randn(workload.batch, *workload.inputs.shape).to(device)
    return placed(model, device, chosen.memory_format), laid_out(images, chosen.memory_format)


def _warm_step(workload: Workload, chosen: NumericsConfig, device: torch.device) -> Callable[[], None] | None:
    try:
        step = (training_step if workload.trained else forward_step)(workload, chosen, device)
        step()  # compiles, and fills caches
        if chosen.compile:
            step()  # the first of a compiled network builds more than forwards
    except Exception:  # an arithmetic that only a trial would have used: the others serve
        if not chosen.compile:
            raise
        return None
    return step


def _medians(
    steps: Sequence[Callable[[], None]], timer: Callable[[], float]
) -> dict[Callable[[], None], float]:
    """Median seconds of each step, the steps taking turns, so that a busy moment slows all of them."""
    seconds: dict[Callable[[], None], list[float]] = {step: [] for step in steps}
    racing, rounds, started = list(steps), 0, time.perf_counter()
    while rounds < LEAST_ROUNDS or time.perf_counter() - started < TRIAL_SECONDS * len(racing):
        for step in racing:
            seconds[step].append(_seconds(step, timer))
        rounds += 1
        if rounds == FIRST_ROUNDS:
            best = {step: min(times) for step, times in seconds.items()}
            racing = [step for step in racing if best[step] <= HOPELESS * min(best.values())]
    return {step: statistics.median(times) for step, times in seconds.items()}


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _seconds(call: Callable[[], object], timer: Callable[[], float] = time.perf_counter) -> float:
    started = timer()
    call()
    return timer() - started
