"""Where the seconds of a finished study went, compared with what the machine could reach.

    python benchmarks/step_breakdown.py DIR [--wall SECONDS] [--workers N]

Prints each part of the training steps, the teacher outputs, and the rest of the jobs (evaluation, building
networks, writing), in processor seconds of the workers; with the wall time of the run, also the time outside
of jobs (starting, planning, waiting, writing tables). The bound is the number of operations of all training,
forward passes of teachers and evaluation, at the rate of a large matrix product or a large convolution on one
thread, whichever is faster, in the precision of the study's students, measured when this runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from distillab.artefacts import OutputsRecord
from distillab.study.folder import StudyFolder
from distillab.study.job import OutputsJob, StudentJob
from distillab.study.usage import teacher_usage

SIDE, ROUNDS = 1024, 9
IMAGES, CHANNELS, PIXELS = 16, 128, 32  # of the convolution, 3 x 3


@torch.inference_mode()
def best_rate(precision: str) -> float:
    """Return floating-point operations per second on one thread.

    This is the better median of a matrix product and of a convolution: libraries are optimized for either to
    different degrees, so neither alone shows what the processor can do.
    """
    torch.set_num_threads(1)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.randn(SIDE, SIDE).to(kind)
    images = torch.randn(IMAGES, CHANNELS, PIXELS, PIXELS).to(kind, memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3).to(kind, memory_format=torch.channels_last)
    product = 2 * SIDE**3 / _seconds(lambda: matrix @ matrix)
    convolved = 2 * 9 * CHANNELS**2 * IMAGES * PIXELS**2 / _seconds(lambda: conv2d(images, weight, padding=1))
    return max(product, convolved)


def _seconds(once: Callable[[], object]) -> float:
    once()
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()  # one thread: other work on the machine is not counted
        once()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def precision_of(folder: StudyFolder) -> str:
    """Return the precision that most students of the study were trained in."""
    with folder.ledger() as ledger:
        jobs = [ledger.job(cell.run) for cell in ledger.cells() if cell.run]
        precisions: list[str] = [job.recipe["precision"] for job in jobs if isinstance(job, StudentJob)]
        return statistics.mode(precisions)


def operations(folder: StudyFolder) -> float:
    """Return the floating-point operations of all networks in a study."""
    store, dataset = folder.store, folder.dataset
    val, test = len(dataset.val), sum(len(images) for images in dataset.eval.values())
    macs_of: dict[str, int] = {}
    total = 0.0
    with folder.ledger() as ledger:
        jobs = [job for name in ledger.states() if (job := ledger.job(name)) and store.has(job.kind, name)]
    for job in jobs:
        if isinstance(job, OutputsJob):
            continue
        record = store.run_record(job.kind, job.id)
        macs_of[job.id] = record.macs
        seen = record.steps * job.recipe["batch_size"]
        tests = test * (1 if record.selected_epoch == record.epochs else 2)
        total += record.macs * (3 * seen + val * len(record.curve) + tests)
    for outputs in (job for job in jobs if isinstance(job, OutputsJob)):
        stored = OutputsRecord.read(store.folder("outputs", outputs.id))
        total += macs_of[outputs.teacher] * (stored.forwards + stored.eval_forwards)
    return 2 * total


def print_breakdown(path: Path, wall: float | None = None, workers: int | None = None) -> None:
    """Print the breakdown of the study in a folder."""
    folder = StudyFolder.open(path)
    with folder.ledger() as ledger:
        jobs = {kind: seconds for kind, (_, seconds) in ledger.seconds().items()}
    parts = dict(teacher_usage(folder).phases)
    trained = sum(parts.values())
    parts["teacher outputs"] = jobs.get("outputs", 0.0)
    parts["rest of the jobs"] = sum(jobs.values()) - trained - parts["teacher outputs"]
    if wall is not None and workers is not None:
        parts["outside of jobs"] = wall * workers - sum(jobs.values())
    whole = sum(parts.values())
    print(f"{path.name}: {whole:.0f} worker-seconds")
    for part, seconds in sorted(parts.items(), key=lambda entry: -entry[1]):
        print(f"  {part:<18}{seconds:9.1f} s {100 * seconds / whole:5.1f} %")
    rate, needed = best_rate(precision_of(folder)), operations(folder)
    bound = needed / rate
    print(f"  bound: {needed / 1e12:.2f} Tflop at {rate / 1e9:.0f} Gflop/s a thread, ", end="")
    print(f"{bound:.0f} worker-seconds, {100 * bound / whole:.0f} % of the time taken")


def main() -> None:
    """Read the command line and print the breakdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="DIR of a finished study")
    parser.add_argument("--wall", type=float, help="wall seconds of its run")
    parser.add_argument("--workers", type=int, help="its worker processes")
    options = parser.parse_args()
    if options.folder is None:
        print("nothing to break down: give the DIR of a finished study")
        return
    print_breakdown(options.folder, options.wall, options.workers)


if __name__ == "__main__":
    main()
