"""ray: tasks on a cluster whose nodes share the disk of the study. The ledger stays with the driver."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from distillab.errors import RequestError
from distillab.extras import import_extra
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob
from distillab.study.running.executors.cluster import ClusterDriver, TaskEnd, TaskLost, raise_start_error
from distillab.study.running.executors.executor import OnProgress, executors
from distillab.study.running.executors.remote import JobEnd, RemoteStudy, run_remote
from distillab.training.numerics.device import pick_device


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
        cluster = _RayCluster(ray, task, RemoteStudy.of(folder, device), threads)
        ClusterDriver(folder, ledger, cluster, on_progress).run()


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


class _RayCluster:
    """Tasks of Ray, by Ray's references to their results."""

    def __init__(self, ray: Any, task: Any, study: RemoteStudy, threads: int) -> None:
        self._ray, self._task, self._threads = ray, task, threads
        self._study = ray.put(study)
        self._running: set[Any] = set()

    def slots(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0) // self._threads)

    def submit(self, jobs: Sequence[StoredJob]) -> Hashable:
        reference: Hashable = self._task.remote(self._study, list(jobs))
        self._running.add(reference)
        return reference

    def ended(self, seconds: float) -> Iterator[tuple[Hashable, TaskEnd]]:
        ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        if ended:
            ended, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for reference in ended:
            self._running.discard(reference)
            yield reference, self._outcome(reference)

    def cancel(self, task: Hashable) -> None:
        self._running.discard(task)
        self._ray.cancel(task, force=True)

    def _outcome(self, reference: Any) -> TaskEnd:
        errors = self._ray.exceptions
        try:
            ends: list[JobEnd] = self._ray.get(reference)
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            return TaskLost()  # whatever ran on the node
        except errors.OutOfMemoryError:
            return TaskLost("its process used up the memory of a node")
        except errors.WorkerCrashedError:
            return TaskLost("its process died")
        except errors.RayTaskError as error:
            raise_start_error(error.cause, str(error))
        return ends


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
