"""Batch normalization, addition and ReLU in one operation, against torch's separate operations.

    python benchmarks/norm_relu_speed.py

A training step (without the optimizer) and a forward pass in evaluation mode of a batch of 64 at 3x32x32,
channels last, under bf16 autocast, one thread. The two sides alternate on the same network, while the other
processors do the same, as the workers of a study would: they share the memory bandwidth. Prints medians of
processor milliseconds in one of the processes, and their ratio.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.machine import tune_allocator, usable_cores
from distillab.models import InputSpec, build_model
from distillab.training.numerics.config import place_model, to_memory_format

NETWORKS = ("resnet20", "resnet56", "resnet8x4", "resnet32x4", "wrn16-2")
TURNS = 8
BATCH = 64
SIDES = ("torch", "fused")


def side(name: str) -> AbstractContextManager[object]:
    """Return a context in which torch's own operations or the fused one are used."""
    if name == "torch":
        unfused: AbstractContextManager[object] = mock.patch(
            "distillab.models.cpu_kernels.dispatch._can_fuse", new=lambda *_: False
        )
        return unfused
    return nullcontext()


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Return median processor seconds of both sides; the first turns fill caches and are not counted."""
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(TURNS + 2):
        for name in SIDES:
            with side(name):
                started = time.thread_time()
                work()
                found[name].append(time.thread_time() - started)
    return {name: statistics.median(each[2:]) for name, each in found.items()}


def report(name: str, printing: bool) -> None:
    """Measure a network, and print a line about it."""
    model = place_model(build_model(name, classes=100, inputs=InputSpec.square(3, 32)), torch.device("cpu"))
    images, labels = to_memory_format(torch.randn(BATCH, 3, 32, 32)), torch.randint(0, 100, (BATCH,))

    def step() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    def forward() -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = model(images)
        return logits

    line = f"{name:<12}"
    for work in (step, forward):
        model.train(work is step)
        took = seconds(work)
        line += f"   {work.__name__} {1e3 * took['torch']:6.1f} {1e3 * took['fused']:6.1f} ms"
        line += f" {took['torch'] / took['fused']:.2f}"
    if printing:
        print(line, flush=True)


def all_networks(printing: bool) -> None:
    """Measure all networks: the body of a process."""
    torch.set_num_threads(1)
    tune_allocator()
    for name in NETWORKS:
        report(name, printing)


def main() -> None:
    """Measure in one process per processor."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=all_networks, args=(False,)) for _ in range(usable_cores() - 1)]
    for other in others:
        other.start()
    all_networks(printing=True)
    for other in others:
        other.join()


if __name__ == "__main__":
    main()
