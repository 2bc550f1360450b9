"""Timed trials: how many images per second a network takes under different numerics, on this machine."""

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

from distillab.machine import tune_allocator
from distillab.models import InputSpec, TappedModel, build_model
from distillab.training.numerics.config import (
    NumericsConfig,
    compile_call,
    place_model,
    to_memory_format,
)
from distillab.training.numerics.device import (
    autocast,
    compute_clock,
    deterministic_kernels,
    empty_device_cache,
    has_native_bf16,
)

# Seconds for which a candidate is timed, and in how many turns at least. One that took HOPELESS times as long
# as the best after FIRST_ROUNDS gets no more turns.
TRIAL_SECONDS = 0.3
LEAST_ROUNDS, FIRST_ROUNDS = 3, 2
HOPELESS = 1.5
BF16_TRIAL = 256  # side of the matrices that show whether a CPU computes or emulates bf16

Rates = dict[NumericsConfig, float | None]
"""Images per second by candidate; None where it failed to compile."""


@dataclass(frozen=True)
class Workload:
    """What is timed.

    Attributes:
        model: Name of the network.
        classes: Number of logits.
        inputs: Shape of one input.
        batch: Images per batch.
        threads: Compute threads of a worker.
        trained: Whether training steps are timed, or forward passes.

    Example:
        >>> Workload("resnet8", 10, InputSpec(3, 32, 32), batch=64).trained
        True
    """

    model: str
    classes: int
    inputs: InputSpec
    batch: int
    threads: int = 1
    trained: bool = True


def bf16_is_worth_timing(device: torch.device) -> bool:
    """Return True if bf16 may be faster than fp32: on CPUs, if a small matrix product in it is not slower."""
    if device.type != "cpu":
        return has_native_bf16(device)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(BF16_TRIAL, BF16_TRIAL, dtype=dtype)
        seconds[dtype] = min(_seconds(lambda m=matrix: m @ m) for _ in range(LEAST_ROUNDS))  # type: ignore[misc]
    return seconds[torch.bfloat16] <= seconds[torch.float32]


def can_compile(device: torch.device) -> bool:
    """Return True if ``torch.compile`` finds its compiler: one for C++ on CPUs, Triton on CUDA devices."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    named = os.environ.get("CXX")
    return device.type == "cpu" and any(map(shutil.which, [named] if named else ["g++", "clang++"]))


def time_candidates(workload: Workload, candidates: Sequence[NumericsConfig], device: torch.device) -> Rates:
    """Return images per second of each candidate.

    The candidates take turns, of which those that are far behind get fewer; the rates come from medians.

    Args:
        workload: What is timed.
        candidates: The numerics to compare.
        device: Where they are timed.
    """
    tune_allocator()  # as workers do
    with _threads(workload.threads), deterministic_kernels(device):
        steps = {each: _warm_step(workload, each, device) for each in candidates}
        seconds = _medians([step for step in steps.values() if step is not None], compute_clock(device))
    rates = {each: None if step is None else workload.batch / seconds[step] for each, step in steps.items()}
    del steps, seconds
    empty_device_cache(device)  # workers are other processes
    return rates


def training_step(workload: Workload, numerics: NumericsConfig, device: torch.device) -> Callable[[], None]:
    """Return a function that does a training step of a new network on random images."""
    model, images = _build(workload, numerics, device)
    model.train()
    forward = compile_call(TappedModel(model, ()), numerics.compile)

    def step() -> None:
        with autocast(device, numerics.precision):
            logits = forward(images).logits
        model.zero_grad(set_to_none=True)
        logits.float().logsumexp(dim=1).mean().backward()  # type: ignore[no-untyped-call]
        _descend(model)
        _synchronize(device)

    return step


def forward_step(workload: Workload, numerics: NumericsConfig, device: torch.device) -> Callable[[], None]:
    """Return a function that sends random images through a new network, as is done with teachers."""
    model, images = _build(workload, numerics, device)
    model.eval()

    @torch.inference_mode()
    def step() -> None:
        with autocast(device, numerics.precision):
            model(images)
        _synchronize(device)

    return step


@torch.no_grad()
def _descend(model: nn.Module) -> None:
    """Do a gradient step. torch's optimizers do hardly more than that to a large network."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=1e-4)


def _build(
    workload: Workload, numerics: NumericsConfig, device: torch.device
) -> tuple[nn.Module, torch.Tensor]:
    """A new network and a batch of random images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(workload.model, classes=workload.classes, inputs=workload.inputs)
        images = torch.randn(workload.batch, *workload.inputs.shape).to(device)
    return (
        place_model(model, device, numerics.memory_format),
        to_memory_format(images, numerics.memory_format),
    )


def _warm_step(
    workload: Workload, numerics: NumericsConfig, device: torch.device
) -> Callable[[], None] | None:
    try:
        step = (training_step if workload.trained else forward_step)(workload, numerics, device)
        step()  # compiles, and fills caches
        if numerics.compile:
            step()  # the first step of a compiled network builds more than forward passes
    except Exception:  # only a trial would have used this candidate, and there are others
        if not numerics.compile:
            raise
        return None
    return step


def _medians(
    steps: Sequence[Callable[[], None]], timer: Callable[[], float]
) -> dict[Callable[[], None], float]:
    """Median seconds of each step. The steps take turns, so that a busy moment slows all of them."""
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


def _synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _seconds(call: Callable[[], object], timer: Callable[[], float] = time.perf_counter) -> float:
    started = timer()
    call()
    return timer() - started
