"""A plan of 100,000 runs: what it takes to make it, to write it down, and to work through it.

    python benchmarks/plan_scale.py [--runs 100000] [--transactions 1000]

The study: handwritten digits, 10 sizes x 10 shares of wrong labels x 20 methods x 50 seeds, one teacher; the
arithmetic is given, so that no trial is timed. Memory is the peak of this process over what it held when
everything was imported and the data were read. A transaction is timed from call to return, on the disk of the
temporary folder (TMPDIR), while a watcher moves the log into the database as it does in a study, but twenty
times as often. The last lines are a job that 5,000 wait for, who are told in several transactions, and the
longest of these. Runs in one thread; about half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from distillab.data.dataset import Dataset
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StudentJob
from distillab.study.job_parts import ConditionSpec, RunSeeds, SetDigests
from distillab.study.ledger import Ledger
from distillab.study.ledger import ledger as ledger_module
from distillab.study.planning.plan import Plan, make_plan
from distillab.study.spec.study import StudySpec, parse_study
from distillab.study.status import study_status

R = TypeVar("R")

CONDITIONS, METHODS = 100, 20
WAITING = 5_000
MOST_MS = 2.0  # what a transaction may take
WATCH_SECONDS = 0.25
CPU = torch.device("cpu")


def study(runs: int) -> StudySpec:
    """A study of at least as many student runs."""
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
    """The most memory this process has held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def timed(title: str, call: Callable[[], Any]) -> Any:
    """Call once and print the seconds it took, by the wall's clock and by the processor's."""
    before, wall, processor = peak(), time.perf_counter(), time.process_time()
    result = call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{title:24} {wall:8.2f} s  processor {processor:6.2f} s  peak memory +{peak() - before:.0f} MiB")
    return result


def each(title: str, calls: list[Callable[[], Any]]) -> None:
    """Make the calls and print the median and the worst of their times; the worst by the processor's clock as
    well, which stands still while the disk or another process has its turn."""
    walls, processors = [], []
    for call in calls:
        wall, processor = time.perf_counter(), time.thread_time()
        call()
        walls.append((time.perf_counter() - wall) * 1e3)
        processors.append((time.thread_time() - processor) * 1e3)
    slow = sum(wall > MOST_MS for wall in walls)
    print(
        f"{title:24} {statistics.median(walls):8.3f} ms median {max(walls):8.2f} ms worst "
        f"({max(processors):.2f} ms processor), {slow} of {len(walls)} over {MOST_MS:g} ms"
    )


def transactions(ledger: Ledger, count: int) -> None:
    """Every transaction of a worker and of a watcher, many times, in the order in which they come."""
    taken: list[Job] = []
    each("claim", [lambda: taken.extend(ledger.claim())] * count)
    each("heartbeat", [lambda job=job: ledger.heartbeat(job.id) for job in taken])  # type: ignore[misc]
    *well, last = taken[: len(taken) // 2]
    each("done", [lambda job=job: ledger.done(job.id, 1.0) for job in well])  # type: ignore[misc]
    rest = [last, *taken[len(taken) // 2 :]]
    each("fail", [lambda job=job: ledger.fail(job.id, "why") for job in rest])  # type: ignore[misc]
    for read in (ledger.progress, ledger.tally, ledger.open_jobs, ledger.seconds):
        each(read.__name__, [read] * count)


@contextlib.contextmanager
def watched(path: Path) -> Iterator[None]:
    """Somebody watches, as the parent of workers does."""
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


class Timed(Ledger):
    """A ledger that knows how long each of its transactions took, in milliseconds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.taken: list[float] = []

    def _transaction(self, body: Callable[[], R]) -> R:
        started = time.perf_counter()
        try:
            return super()._transaction(body)
        finally:
            self.taken.append((time.perf_counter() - started) * 1e3)


def bare_job(name: str, *needs: str) -> Job:
    """Return a job of a name, which says nothing else."""
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
    """One job that many wait for, in a ledger of as many jobs."""
    jobs: list[Job] = []
    for first in range(0, runs, WAITING + 1):
        jobs.append(bare_job(f"outputs{first}"))
        jobs += (bare_job(f"{first}.{n}", f"outputs{first}") for n in range(WAITING))
    with Timed(path) as ledger, watched(path):
        ledger.create({}, jobs, [], [])
        ledger.taken.clear()
        outputs = [job.id for job in jobs if not job.needs]
        half = len(outputs) // 2
        each(f"done, {WAITING:,} waiting", [lambda o=o: ledger.done(o, 1.0) for o in outputs[:half]])  # type: ignore[misc]
        each(f"fail, {WAITING:,} waiting", [lambda o=o: ledger.fail(o, "why") for o in outputs[half:]])  # type: ignore[misc]
        print(f"{'longest transaction':24} {max(ledger.taken):8.2f} ms of {len(ledger.taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="student runs of the study")
    parser.add_argument("--transactions", type=int, default=1000, help="how often each is timed")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ledger_module.TIDY_SECONDS /= 20
    spec = study(asked.runs)
    dataset: Dataset = load_dataset(spec.source())
    plan: Plan = timed(f"plan, {asked.runs:,} runs", lambda: make_plan(spec, dataset, CPU))
    with tempfile.TemporaryDirectory() as scratch:
        folder = StudyFolder(Path(scratch) / "dir")
        folder.path.mkdir()
        timed("write the plan", lambda: folder._write_plan(spec, dataset, plan))
        folder._write_study(spec)
        size = folder.ledger_file.stat().st_size / 2**20
        print(f"{'jobs; size of the ledger':24} {len(plan.jobs):8,}; {size:.0f} MiB")
        gc.freeze()  # no worker holds a plan, which is long to look through for what nobody uses any more
        with folder.ledger() as ledger, watched(folder.ledger_file):
            transactions(ledger, asked.transactions)
        each("status", [lambda: study_status(folder.path)] * 20)
        fan_out(Path(scratch) / "fan_out.sqlite", asked.runs)


if __name__ == "__main__":
    main()
