"""How many workers a driver of the ray executor keeps at work: a simulation with its code and ledger.

    python benchmarks/scaling.py [--jobs 100000] [--study DIR]

The driver claims, submits and settles jobs in a ledger on the disk of the temporary folder (TMPDIR) as it
does on a cluster; the cluster itself is simulated. The time that the driver takes is measured, and is part of
the simulated time, in which a job takes some seconds on one of the workers. Efficiency is the training time
over that of all workers until the last job ends. With --study, the lengths of jobs are those of the finished
runs of a study, otherwise 1, 10 and 60 seconds. Memory is the peak of this process, so the largest simulation
is the first. What Ray takes to start a task and to send its result is not simulated: the last line has it for
empty tasks on this machine.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import logging
import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import ray

from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob
from distillab.study.running.executors import ray_cluster
from distillab.study.running.executors.remote import JobEnd
from plan_scale import bare_job

WORKERS = (1000, 100, 10)
LENGTHS = ((1.0,), (10.0,), (60.0,))
JOBS_PER_WORKER = 20  # in all simulations but the first
STUDY = "{study: demo, data: {source: digits}, teacher: {model: resnet8}, students: [resnet8], methods: [ce]}"


class SimulatedRay:
    """A cluster in simulated time: what the driver uses of Ray."""

    exceptions = ray.exceptions

    def __init__(self, workers: int, lengths: Sequence[float]) -> None:
        self.workers, self.lengths = workers, itertools.cycle(lengths)
        self.skipped = self.trained = 0.0
        self.waiting: deque[int] = deque()
        self.running: list[tuple[float, int]] = []
        self.jobs: dict[int, tuple[Sequence[StoredJob], float]] = {}
        self.ended: dict[int, None] = {}

    def now(self) -> float:
        return time.perf_counter() + self.skipped

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.workers)}

    def put(self, value: object) -> object:
        return value

    def remote(self, **_: Any) -> Any:
        return lambda body: SimpleNamespace(remote=self.submit)

    def submit(self, study: object, jobs: Sequence[StoredJob]) -> int:
        name = len(self.jobs)
        self.jobs[name] = (jobs, next(self.lengths))
        self.waiting.append(name)
        self.advance()
        return name

    def advance(self) -> None:
        """End the tasks whose time has come, and start others in their place."""
        now = self.now()
        while self.running and self.running[0][0] <= now:
            end, name = heapq.heappop(self.running)
            self.ended[name] = None
            if self.waiting:
                self.start(self.waiting.popleft(), end)
        while self.waiting and len(self.running) < self.workers:
            self.start(self.waiting.popleft(), now)

    def start(self, name: int, at: float) -> None:
        seconds = self.jobs[name][1]
        self.trained += seconds
        heapq.heappush(self.running, (at + seconds, name))

    def wait(self, names: list[int], *, num_returns: int = 1, timeout: float) -> tuple[list[int], list[int]]:
        self.advance()
        if not self.ended and timeout:
            self.skipped += min(max(self.running[0][0] - self.now(), 0.0), timeout)
            self.advance()
        return list(itertools.islice(self.ended, num_returns)), []

    def get(self, name: int) -> list[JobEnd]:
        del self.ended[name]
        jobs, seconds = self.jobs[name]
        self.jobs[name] = ((), 0.0)
        return [JobEnd(job.id, seconds / len(jobs)) for job in jobs]


def simulate(jobs: int, workers: int, lengths: Sequence[float]) -> tuple[float, float]:
    """Return the efficiency, and the milliseconds that the driver takes per job."""
    with tempfile.TemporaryDirectory() as place:
        folder = StudyFolder(Path(place))
        folder.study_file.write_text(STUDY)
        with folder.ledger() as ledger:
            ledger.create({}, (bare_job(str(number)) for number in range(jobs)), [], [])
        cluster = SimulatedRay(workers, lengths)
        clock = SimpleNamespace(monotonic=cluster.now)
        begun, busy = cluster.now(), time.perf_counter()
        with (
            mock.patch.object(ray_cluster, "require_ray", lambda: cluster),
            mock.patch.object(ray_cluster, "time", clock),
        ):
            ray_cluster.ray_cluster(folder, workers=1, device="cpu", on_progress=lambda share: None)
        busy, passed = time.perf_counter() - busy, cluster.now() - begun
    return cluster.trained / (workers * passed), 1000 * busy / jobs


def task_cost(tasks: int, window: int) -> float:
    """Return the milliseconds that Ray takes for an empty task on two processes of this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, log_to_driver=False, logging_level=logging.ERROR)
    task: Any = ray.remote(num_cpus=1, max_retries=0)(lambda number: number)
    ray.get([task.remote(-1) for _ in range(window)])  # starts the processes
    begun, running = time.perf_counter(), [task.remote(-1) for _ in range(window)]
    for _ in range(tasks - window):
        [ended], running = ray.wait(running)
        ray.get(ended)
        running.append(task.remote(-1))
    ray.get(running)
    passed = time.perf_counter() - begun
    ray.shutdown()
    return 1000 * passed / tasks


def lengths_of(study: Path) -> list[float]:
    with StudyFolder.open(study).ledger() as ledger:
        rows = ledger.db.execute("SELECT seconds FROM jobs WHERE kind = 'student' AND seconds > 0")
        return [float(seconds) for (seconds,) in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000, help="of the first simulation")
    parser.add_argument("--study", type=Path, help="a finished study")
    chosen = parser.parse_args()
    cases = [tuple(lengths_of(chosen.study))] if chosen.study else LENGTHS
    print("| workers | jobs | seconds per job | efficiency | driver, ms per job |")
    print("|---|---|---|---|---|")
    peak = None
    for workers, lengths in itertools.product(WORKERS, cases):
        jobs = chosen.jobs if peak is None else min(chosen.jobs, JOBS_PER_WORKER * workers)
        efficiency, cost = simulate(jobs, workers, lengths)
        mean = sum(lengths) / len(lengths)
        print(f"| {workers} | {jobs} | {mean:.3g} | {100 * efficiency:.1f} % | {cost:.2f} |", flush=True)
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the driver at {chosen.jobs} jobs: {peak:.0f} MiB")
    print(f"Ray, per empty task: {task_cost(3000, 6):.2f} ms")


if __name__ == "__main__":
    main()
