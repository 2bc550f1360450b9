"""Where the seconds of a finished study went, beside what the machine's matrix products would allow.

    python benchmarks/step_breakdown.py DIR [--wall SECONDS] [--workers N]

Each part of the training steps, what teachers' outputs took, and the rest of the jobs (testing, building,
writing), in processor-seconds of the workers; with the wall time of the run, also what was spent outside of
jobs (starting, planning, waiting for each other, writing tables). The bound is the arithmetic of all
training, teachers' forwards and evaluation at the rate of a large float32 matrix product on one thread,
measured when this runs: no convolution done by plain products can be faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from distillab.study.account import account
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Job

SIDE, ROUNDS = 1024, 15


def product_rate() -> float:
    """Floating-point operations a second of a float32 matrix product on one thread: median of some."""
    torch.set_num_threads(1)
    matrix = torch.randn(SIDE, SIDE)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        _ = matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / statistics.median(seconds)


def operations(folder: StudyFolder) -> float:
    """Floating-point operations of everything that networks computed in a study."""
    store, dataset = folder.store, folder.dataset
    val, test = len(dataset.val), sum(len(images) for images in dataset.eval.values())
    macs_of: dict[str, int] = {}
    total = 0.0
    with folder.ledger() as ledger:
        jobs = [job for name in ledger.states() if isinstance(job := ledger.job(name), Job)]
    for job in (job for job in jobs if job.kind != "outputs" and store.has(job.kind, job.id)):
        record = store.record(job.kind, job.id)
        macs_of[job.id] = record["macs"]
        seen = record["steps"] * job.spec["recipe"]["batch_size"]
        tests = test * (1 if record["selected_epoch"] == record["epochs"] else 2)
        total += record["macs"] * (3 * seen + val * len(record["curve"]) + tests)
    for job in (job for job in jobs if job.kind == "outputs" and store.has(job.kind, job.id)):
        record = store.record(job.kind, job.id)
        total += macs_of[job.spec["teacher"]] * (record["forwards"] + record["eval_forwards"])
    return 2 * total


def tell(path: Path, wall: float | None = None, workers: int | None = None) -> None:
    """Print the breakdown of the study in a folder."""
    folder = StudyFolder.open(path)
    with folder.ledger() as ledger:
        jobs = {kind: seconds for kind, (_, seconds) in ledger.seconds().items()}
    parts = dict(account(folder).phases)
    trained = sum(parts.values())
    parts["teacher outputs"] = jobs.get("outputs", 0.0)
    parts["rest of the jobs"] = sum(jobs.values()) - trained - parts["teacher outputs"]
    if wall is not None and workers is not None:
        parts["outside of jobs"] = wall * workers - sum(jobs.values())
    whole = sum(parts.values())
    print(f"{path.name}: {whole:.0f} worker-seconds")
    for part, seconds in sorted(parts.items(), key=lambda entry: -entry[1]):
        print(f"  {part:<18}{seconds:9.1f} s {100 * seconds / whole:5.1f} %")
    rate, needed = product_rate(), operations(folder)
    bound = needed / rate
    print(f"  bound: {needed / 1e12:.2f} Tflop at {rate / 1e9:.0f} Gflop/s a thread, ", end="")
    print(f"{bound:.0f} worker-seconds, {100 * bound / whole:.0f} % of what it took")


def main() -> None:
    """Read the command line and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="DIR of a finished study")
    parser.add_argument("--wall", type=float, help="wall seconds of its run")
    parser.add_argument("--workers", type=int, help="its worker processes")
    asked = parser.parse_args()
    if asked.folder is None:
        print("nothing to break down: give the DIR of a finished study")
        return
    tell(asked.folder, asked.wall, asked.workers)


if __name__ == "__main__":
    main()
