"""Normalising, adding and rectifying at once, against torch's operations one after the other.

    python benchmarks/norm_relu_speed.py

One thread; a training step (without the optimiser) and a forward pass in evaluation mode of a batch of 64 at
3x32x32, channels last, in fp32 and under bf16 autocast. The two sides take turns on the same network; printed
are medians of processor milliseconds and torch's over ours.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.models import build_model
from distillab.training.arithmetic import laid_out, placed, tune_allocator

NETWORKS = ("resnet20", "resnet56", "resnet8x4", "resnet32x4", "wrn16-2")
TURNS = 12
BATCH = 64
SIDES = ("torch", "fused")


def side(name: str) -> AbstractContextManager[object]:
    """What torch's own operations take is seen by refusing the fused one."""
    if name == "torch":
        return mock.patch("distillab.models.norm_relu._can_fuse", return_value=False)
    return nullcontext()


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Median processor seconds of both sides; the first turns fill caches and are not counted."""
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(TURNS + 2):
        for name in SIDES:
            with side(name):
                started = time.thread_time()
                work()
                found[name].append(time.thread_time() - started)
    return {name: statistics.median(each[2:]) for name, each in found.items()}


def report(name: str, bf16: bool) -> None:
    """One line for a network in a precision."""
    model = placed(build_model(name, classes=100, channels=3, resolution=32), torch.device("cpu"))
    images, labels = laid_out(torch.randn(BATCH, 3, 32, 32)), torch.randint(0, 100, (BATCH,))

    def autocast() -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()

    def step() -> None:
        model.zero_grad()
        with autocast():
            loss = F.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    def forward() -> Tensor:
        with torch.no_grad(), autocast():
            logits: Tensor = model(images)
        return logits

    line = f"{name:<12} {'bf16' if bf16 else 'fp32'}"
    for work in (step, forward):
        model.train(work is step)
        took = seconds(work)
        line += f"   {work.__name__} {1e3 * took['torch']:6.1f} {1e3 * took['fused']:6.1f} ms"
        line += f" {took['torch'] / took['fused']:.2f}"
    print(line, flush=True)


def main() -> None:
    """All networks in both precisions."""
    torch.set_num_threads(1)
    tune_allocator()
    for name in NETWORKS:
        for bf16 in (False, True):
            report(name, bf16)


if __name__ == "__main__":
    main()
