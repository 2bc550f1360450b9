"""Training speed of networks under each choice of numerics, with and without a tuned allocator.

    python benchmarks/numerics.py [--models resnet20,resnet8x4] [--rounds 7] [--batch 64] [--no-compile]

Every combination runs in a process of its own (an allocator cannot be reset), with one thread. The processes
alternate training steps, which on CPUs are timed in processor time, so that other work on the machine is not
counted. Prints images per second, the ratio to eager fp32 in channels-last memory with the default allocator,
and the seconds of preparation: building and compiling the network, and three steps.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch

from distillab.machine import tune_allocator
from distillab.models import InputSpec
from distillab.training.numerics.benchmark import Workload, bf16_is_worth_timing, can_compile, training_step
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.device import pick_device

WARM_STEPS = 3


class Process:
    """A network in a process of its own that makes a training step on request."""

    def __init__(self, workload: Workload, chosen: NumericsConfig, tuned: bool) -> None:
        self.name = f"{chosen}{', allocator tuned' if tuned else ''}"
        settings = [
            workload.model,
            workload.batch,
            chosen.precision,
            chosen.memory_format,
            chosen.compile,
            tuned,
        ]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--step", *map(str, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds: list[float] = []
        self.start = self.step()

    def step(self) -> float:
        """Return the seconds of a step; for the first call, of preparation."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def serve(model: str, batch: str, precision: str, memory_format: str, compile_: str, tuned: str) -> None:
    """Make one step per line of standard input: the body of a process."""
    torch.set_num_threads(1)
    if tuned == "True":
        tune_allocator()
    chosen = NumericsConfig(precision, memory_format, compile_ == "True")  # type: ignore[arg-type]
    sys.stdin.readline()
    started = time.perf_counter()
    device = pick_device("auto")
    step = training_step(Workload(model, 10, InputSpec(3, 32, 32), int(batch)), chosen, device)
    for _ in range(WARM_STEPS):
        step()
    print(time.perf_counter() - started, flush=True)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for _ in sys.stdin:
        started = clock()
        step()
        print(clock() - started, flush=True)


def compare(workload: Workload, chosen: list[NumericsConfig], rounds: int) -> None:
    """Print a table for one network."""
    crew = [Process(workload, each, tuned) for tuned in (False, True) for each in chosen]
    for _ in range(rounds):
        for each in crew:
            each.seconds.append(each.step())
    usual = statistics.median(crew[0].seconds)
    print(f"{workload.model}, batch {workload.batch}, 3x32x32, medians of {rounds} steps")
    print(f"  {'':46} images/s  ratio  start s")
    for each in crew:
        seconds = statistics.median(each.seconds)
        print(f"  {each.name:46} {workload.batch / seconds:8.0f}  {usual / seconds:5.2f}  {each.start:7.1f}")
        each.close()


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="resnet20,resnet8x4")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    device = pick_device("auto")
    chosen = [NumericsConfig(), NumericsConfig(memory_format="contiguous")]
    if bf16_is_worth_timing(device):
        chosen.append(NumericsConfig("bf16"))
    else:
        print("bf16 is emulated here and left out")
    if can_compile(device) and not options.no_compile:
        chosen.append(replace(chosen[-1], memory_format="channels_last", compile=True))
    for model in options.models.split(","):
        compare(Workload(model, 10, InputSpec(3, 32, 32), options.batch), chosen, options.rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        serve(*sys.argv[2:])
    else:
        main()
