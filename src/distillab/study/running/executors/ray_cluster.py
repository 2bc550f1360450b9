"""ray: tasks on a cluster whose nodes share the disk of the study. The ledger stays with the driver."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distillab.errors import DiskFullError, RequestError, WorkerStartError
from distillab.extras import import_extra
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StoredJob
from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import HEARTBEAT_SECONDS, MAX_DEATHS
from distillab.study.running.executors.executor import PROGRESS_SECONDS, OnProgress, executors
from distillab.study.running.executors.remote import JobEnd, RemoteStudy, run_remote
from distillab.study.running.lost import put_back_needed
from distillab.training.numerics.device import pick_device

WINDOW = 3  # tasks that were handed to Ray, in multiples of those that run at once

Submitted = dict[Any, list[Job]]
"""The jobs of each task, by Ray's reference to its result."""


@executors.register("ray")
def ray_cluster(folder: StudyFolder, *, workers: int, device: str, on_progress: OnProgress) -> None:
    """Run every open job as tasks of Ray. ``workers`` is ignored: the nodes of the cluster decide.

    The cluster is the one of ``RAY_ADDRESS``, else the one that runs on this machine; if there is none, one
    is started for the study. Nodes may join and leave. Only the specifications of jobs travel; the data, the
    weights and all other artifacts are read from the store and written there.

    A task takes as many cores as a job has threads and, on CUDA, one GPU. Ray repeats none: the jobs of a
    node that was lost are put back, and a job that kills its process is tried again until it has died
    ``MAX_DEATHS`` times, as with worker processes.

    Raises:
        RequestError: Ray is not installed, or no node has the cores and the GPU that a task takes.
        DiskFullError: There is no space left.
        WorkerStartError: A node cannot import distillab, or what the study needs.
    """
    ray = require_ray()
    threads = folder.spec.worker_threads
    gpus = 1 if pick_device(device).type == "cuda" else 0
    with _connected(ray), folder.ledger() as ledger:
        check_nodes([node["Resources"] for node in ray.nodes() if node["Alive"]], threads, gpus)
        ledger.reclaim()
        # With max_calls=0 a process keeps the data between tasks, which is not the default on GPUs.
        task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0, max_calls=0)(run_remote)
        _Driver(ray, folder, ledger, task, RemoteStudy.of(folder, device), on_progress).run(threads)


def require_ray() -> Any:
    """Return the module ``ray``. Raises RequestError if it is not installed."""
    return import_extra("ray", "ray", "the executor ray")


def check_nodes(nodes: Sequence[Mapping[str, float]], threads: int, gpus: int) -> None:
    """Check that a task can run on some node, since Ray would wait for such a node without end.

    Args:
        nodes: The resources of the nodes that are alive, ``CPU`` and ``GPU`` among them, by name.
        threads: The cores that a task takes.
        gpus: The GPUs that it takes.

    Raises:
        RequestError: No node has as many.

    Example:
        >>> check_nodes([{"CPU": 8.0}], 4, 0)
        >>> check_nodes([{"CPU": 8.0}], 4, 1)
        Traceback (most recent call last):
        distillab.errors.RequestError: --executor ray: no node of the cluster has 4 cores and a GPU ...
    """
    if any(each.get("CPU", 0) >= threads and each.get("GPU", 0) >= gpus for each in nodes):
        return
    cores = f"{threads} core{'s' if threads > 1 else ''}{' and a GPU' if gpus else ''}"
    raise RequestError(
        f"no node of the cluster has {cores} for a job",
        where="--executor ray",
        allowed="larger nodes, or fewer `worker_threads`"
        if not gpus
        else "nodes with a GPU, or --device cpu",
    )


class _Driver:
    """Hands jobs to Ray, and enters in the ledger how they end."""

    def __init__(
        self,
        ray: Any,
        folder: StudyFolder,
        ledger: Ledger,
        task: Any,
        study: RemoteStudy,
        on_progress: OnProgress,
    ) -> None:
        self._ray, self._folder, self._ledger, self._task = ray, folder, ledger, task
        self._study, self._on_progress = ray.put(study), on_progress
        self._tasks: Submitted = {}
        self._beat = self._reported = time.monotonic()

    def run(self, threads: int) -> None:
        try:
            while self._tasks or self._ledger.open_jobs():
                slots = int(self._ray.cluster_resources().get("CPU", 0) // threads)
                self._submit(WINDOW * max(slots, 1))
                self._settle_finished()
                self._keep_alive()
        finally:
            self._put_back_all()

    def _submit(self, window: int) -> None:
        while len(self._tasks) < window and (jobs := self._ledger.claim()):
            stored = [StoredJob.of(job) for job in jobs]
            self._tasks[self._task.remote(self._study, stored)] = jobs

    def _settle_finished(self) -> None:
        """Wait until a task ends, or a moment, and settle all that have ended."""
        if not self._tasks:
            self._ledger.reclaim(count_death=True)  # the jobs of another driver, which may have died
            time.sleep(PROGRESS_SECONDS)
            return
        ended, _ = self._ray.wait(list(self._tasks), timeout=PROGRESS_SECONDS)
        if ended:
            ended, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        for reference in ended:
            self._settle(reference, self._tasks[reference])
            del self._tasks[reference]

    def _settle(self, reference: Any, jobs: list[Job]) -> None:
        errors = self._ray.exceptions
        try:
            ends = self._ray.get(reference)
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            for job in jobs:
                self._ledger.release(job.id)  # the node was lost, whatever ran on it
        except errors.OutOfMemoryError:
            self._count_death(jobs, "its process used up the memory of a node")
        except errors.WorkerCrashedError:
            self._count_death(jobs, "its process died")
        except errors.RayTaskError as error:
            if isinstance(error.cause, DiskFullError | RequestError):
                raise error.cause from error
            cause = str(error.cause).splitlines() or [type(error.cause).__name__]
            raise WorkerStartError(f"tasks cannot start: {cause[-1]}", str(error)) from error
        else:
            self._enter(ends, {job.id: job for job in jobs})

    def _enter(self, ends: Sequence[JobEnd], jobs: dict[str, Job]) -> None:
        waiting = [end for end in ends if end.damage]
        if waiting:
            damaged = [jobs[end.job] for end in waiting]
            error = waiting[0].damage
            if error and put_back_needed(self._folder, self._ledger, damaged, error):
                ends = [end for end in ends if not end.damage]
        for end in ends:
            if end.seconds is None:
                self._ledger.fail(end.job, end.error)
            else:
                self._ledger.done(end.job, end.seconds)

    def _count_death(self, jobs: list[Job], reason: str) -> None:
        """Put jobs back whose process died; fail those that have died too often."""
        for job in jobs:
            deaths = self._ledger.most_deaths([job]) + 1
            if deaths >= MAX_DEATHS:
                self._ledger.fail(job.id, f"{reason} {deaths} times")
            else:
                self._ledger.release(job.id, count_death=True)

    def _keep_alive(self) -> None:
        """Renew the leases now and then, and report progress."""
        now = time.monotonic()
        if now - self._reported > PROGRESS_SECONDS:
            self._reported = now
            self._ledger.tidy()
            self._on_progress(self._ledger.progress().share)
        if now - self._beat > HEARTBEAT_SECONDS:
            self._beat = now
            for job in (job for jobs in self._tasks.values() for job in jobs):
                self._ledger.heartbeat(job.id)

    def _put_back_all(self) -> None:
        for reference, jobs in self._tasks.items():
            self._ray.cancel(reference, force=True)
            for job in jobs:
                self._ledger.release(job.id)


@contextlib.contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Connect this process to a cluster unless it is connected, and leave it at the end."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers otherwise
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
