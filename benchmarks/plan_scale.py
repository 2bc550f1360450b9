"""The cost of planning 100,000 runs, of writing the plan, and of the ledger transactions of running it.

    python benchmarks/plan_scale.py [--runs 100000] [--transactions 1000]

The study: handwritten digits, 10 sizes x 10 shares of wrong labels x 20 methods x 50 seeds, one teacher;
numerics are given, so that no benchmark is run. Memory is the peak of this process beyond what it held when
everything was imported and the data were read. A transaction is timed from call to return, on the disk of the
temporary folder (TMPDIR), while a watcher runs SQLite's checkpoints as in a study, but twenty times as often.
The last lines are a job with 5,000 dependents, to which its end is propagated in several transactions, and
the longest of these. Runs in one thread; about half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from distillab.data.dataset import Dataset
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StudentJob
from distillab.study.job_parts import ConditionSpec, RunSeeds, SetDigests
from distillab.study.ledger import Ledger
from distillab.study.ledger import ledger as ledger_module
from distillab.study.ledger.connection import transaction
from distillab.study.planning.facts import PlanFacts
from distillab.study.planning.outline import make_plan
from distillab.study.planning.plan import Plan
from distillab.study.spec.study import StudySpec, parse_study
from distillab.study.status import study_status

CONDITIONS, METHODS = 100, 20
DEPENDENTS = 5_000
LARGEST_MS = 2.0  # of a transaction
WATCH_SECONDS = 0.25
CPU = torch.device("cpu")


def study(runs: int) -> StudySpec:
    """Return a study of at least as many student runs."""
    kds = [{"kd": {"temperature": 1 + number / 4}} for number in range(METHODS - 1)]
    values: dict[str, Any] = {
        "study": "large",
        "data": {"source": "digits"},
        "teacher": {"model": "resnet14", "provenance": "full"},
        "students": "resnet8",
        "methods": ["ce", *kds],
        "factors": {
            "size": [10, 12, 15, 20, 30, 40, 50, 60, 70, 80],
            "label_noise": [number / 10 for number in range(10)],
        },
        "seeds": -(-runs // (CONDITIONS * METHODS)),
        "recipe": {
            "steps": 100,
            "batch_size": 32,
            "precision": "fp32",
            "memory_format": "channels_last",
            "compile": False,
        },
    }
    return parse_study(values, Path.cwd(), "plan_scale")


def peak() -> float:
    """Return the peak memory of this process, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def timed(title: str, call: Callable[[], Any]) -> Any:
    """Call once and print wall seconds, processor seconds and memory."""
    before, wall, processor = peak(), time.perf_counter(), time.process_time()
    result = call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{title:24} {wall:8.2f} s  processor {processor:6.2f} s  peak memory +{peak() - before:.0f} MiB")
    return result


def each(title: str, calls: list[Callable[[], Any]]) -> None:
    """Make the calls and print the median and the maximum of their times.

    The maximum is also given in processor time, which excludes waiting for the disk and other processes.
    """
    walls, processors = [], []
    for call in calls:
        wall, processor = time.perf_counter(), time.thread_time()
        call()
        walls.append((time.perf_counter() - wall) * 1e3)
        processors.append((time.thread_time() - processor) * 1e3)
    slow = sum(wall > LARGEST_MS for wall in walls)
    print(
        f"{title:24} {statistics.median(walls):8.3f} ms median {max(walls):8.2f} ms maximum "
        f"({max(processors):.2f} ms processor), {slow} of {len(walls)} over {LARGEST_MS:g} ms"
    )


def transactions(ledger: Ledger, count: int) -> None:
    """Time every transaction of a worker and of the watcher, many times, in their usual order."""
    taken: list[Job] = []
    each("claim", [lambda: taken.extend(ledger.claim())] * count)
    each("heartbeat", [lambda job=job: ledger.heartbeat(job.id) for job in taken])  # type: ignore[misc]
    *finished, last = taken[: len(taken) // 2]
    each("done", [lambda job=job: ledger.done(job.id, 1.0) for job in finished])  # type: ignore[misc]
    rest = [last, *taken[len(taken) // 2 :]]
    each("fail", [lambda job=job: ledger.fail(job.id, "why") for job in rest])  # type: ignore[misc]
    for read in (ledger.progress, ledger.tally, ledger.open_jobs, ledger.seconds):
        each(read.__name__, [read] * count)


@contextlib.contextmanager
def watched(path: Path) -> Iterator[None]:
    """Run checkpoints in a thread, as the parent of workers does."""
    ended = threading.Event()

    def watch() -> None:
        with Ledger(path) as ledger:
            while not ended.wait(WATCH_SECONDS):
                ledger.tidy()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextlib.contextmanager
def timed_transactions(taken: list[float]) -> Iterator[None]:
    """Append the milliseconds of each transaction of a ledger to a list."""

    @contextlib.contextmanager
    def timed_transaction(db: sqlite3.Connection) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with transaction(db):
                yield
        finally:
            taken.append((time.perf_counter() - started) * 1e3)

    with mock.patch.object(ledger_module, "transaction", timed_transaction):
        yield


def bare_job(name: str, *needs: str) -> Job:
    """Return a job with a name and nothing else."""
    return StudentJob(
        id=name,
        condition=ConditionSpec((), 0),
        model="resnet8",
        method={},
        recipe={},
        sets=SetDigests("", "", {}, ""),
        seeds=RunSeeds(0, 0, 0),
        needs=needs,
    )


def fan_out(path: Path, runs: int) -> None:
    """Time the end of a job with many dependents, in a ledger of many jobs."""
    jobs: list[Job] = []
    for first in range(0, max(runs, 2 * (DEPENDENTS + 1)), DEPENDENTS + 1):  # one to finish and one to fail
        jobs.append(bare_job(f"outputs{first}"))
        jobs += (bare_job(f"{first}.{n}", f"outputs{first}") for n in range(DEPENDENTS))
    taken: list[float] = []
    with Ledger(path) as ledger, watched(path):
        ledger.create({}, jobs, [], [])
        outputs = [job.id for job in jobs if not job.needs]
        half, text = len(outputs) // 2, f"{DEPENDENTS:,} dependents"
        with timed_transactions(taken):
            each(f"done, {text}", [lambda o=o: ledger.done(o, 1.0) for o in outputs[:half]])  # type: ignore[misc]
            each(f"fail, {text}", [lambda o=o: ledger.fail(o, "why") for o in outputs[half:]])  # type: ignore[misc]
    print(f"{'longest transaction':24} {max(taken):8.2f} ms of {len(taken)}")


def main() -> None:
    """Read the command line, plan, write and time transactions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="student runs of the study")
    parser.add_argument("--transactions", type=int, default=1000, help="how often each is timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ledger_module.TIDY_SECONDS /= 20
    spec = study(options.runs)
    dataset: Dataset = load_dataset(spec.source())
    plan: Plan = timed(f"plan, {options.runs:,} runs", lambda: make_plan(spec, dataset, CPU))
    with tempfile.TemporaryDirectory() as scratch:
        folder = StudyFolder(Path(scratch) / "dir")
        folder.path.mkdir()
        facts = PlanFacts.of(plan, dataset.digest)
        timed("write the plan", lambda: folder._write_plan(spec, dataset, plan, facts, {}))
        folder._write_study(spec)
        size = folder.ledger_file.stat().st_size / 2**20
        print(f"{'jobs; size of the ledger':24} {len(plan.jobs):8,}; {size:.0f} MiB")
        gc.freeze()  # no worker holds a plan, whose objects slow down garbage collection
        with folder.ledger() as ledger, watched(folder.ledger_file):
            transactions(ledger, options.transactions)
        each("status", [lambda: study_status(folder.path)] * 20)
        fan_out(Path(scratch) / "fan_out.sqlite", options.runs)


if __name__ == "__main__":
    main()
