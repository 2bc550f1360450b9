"""slurm: allocations of Slurm, in each of which one process takes tasks. The ledger stays with the driver."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol

from distillab.errors import RequestError, WorkerStartError
from distillab.extras import import_extra
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob
from distillab.study.running.executors.cluster import ClusterDriver, TaskEnd, TaskLost, raise_start_error
from distillab.study.running.executors.executor import OnProgress, executors
from distillab.study.running.executors.mailbox import Mailbox
from distillab.study.running.executors.pilot import run_pilot
from distillab.study.running.executors.remote import RemoteStudy
from distillab.training.numerics.device import pick_device

MINUTES = 60  # of an allocation, where SBATCH_TIMELIMIT does not say otherwise
SILENT_SECONDS = 60.0  # without a sign of life, after which a pilot counts as lost
MOST_FAILED_STARTS = 3  # allocations in a row that end before they take a task
_WATCH_SECONDS = 1.0  # between looks at the allocations
_REASONS = {
    "TIMEOUT": "its allocation reached its time limit",
    "OUT_OF_MEMORY": "its process used up the memory of its allocation",
    "FAILED": "its process died",
}
_BLAMELESS = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "CANCELLED", "REVOKED", "DEADLINE")


@executors.register("slurm")
def slurm(folder: StudyFolder, *, workers: int, device: str, on_progress: OnProgress) -> None:
    """Run every open job in ``workers`` allocations of Slurm, which submitit submits.

    Partition, time limit, memory and all else of an allocation are taken from the environment variables of
    ``sbatch`` (``SBATCH_PARTITION``, ``SBATCH_TIMELIMIT``, ``SBATCH_MEM_PER_NODE``, ``SBATCH_GRES``, ...).
    Each has the cores of a job. Only the specifications of jobs travel, as files in the folder of the study,
    which must be on a shared disk. An allocation that ends is replaced while there are tasks for it.

    Raises:
        RequestError: submitit is not installed, or there is no Slurm here.
        DiskFullError: There is no space left.
        WorkerStartError: Allocations end before they take a task.
    """
    submitit = require_slurm()
    box = Mailbox.new(folder.path / "slurm")
    launcher = submitit.SlurmExecutor(folder=folder.path / "slurm" / "logs" / uuid.uuid4().hex[:8])
    gpus = {"gpus_per_node": 1} if pick_device(device).type == "cuda" else {}
    launcher.update_parameters(
        job_name=folder.spec.study[:40], time=MINUTES, cpus_per_task=folder.spec.worker_threads, **gpus
    )
    with folder.ledger() as ledger:
        ledger.reclaim()
        study = RemoteStudy.of(folder, device)
        cluster = PilotCluster(launcher, box, study, workers)
        try:
            ClusterDriver(folder, ledger, cluster, on_progress).run()
        finally:
            cluster.close()


def require_slurm() -> Any:
    """Return the module ``submitit``. Raises RequestError if it, or Slurm, is not installed."""
    submitit = import_extra("submitit", "slurm", "the executor slurm")
    logging.getLogger("submitit").setLevel(logging.ERROR)
    if submitit.SlurmExecutor.affinity() <= 0:
        raise RequestError(
            "there is no Slurm on this machine: the command `srun` is missing",
            where="--executor slurm",
            allowed="a login node of a cluster of Slurm, or --executor processes",
        )
    return submitit


class Allocation(Protocol):
    """What is used of a job of submitit."""

    @property
    def state(self) -> str: ...

    @property
    def paths(self) -> Any: ...

    def done(self) -> bool: ...

    def cancel(self, check: bool = True) -> None: ...

    def stderr(self) -> str | None: ...


class PilotCluster:
    """Allocations, each with a process that takes tasks from a mailbox.

    Args:
        launcher: An executor of submitit.
        box: The mailbox.
        study: What the pilots have to know of the study.
        pilots: How many allocations are wanted at once.
    """

    def __init__(self, launcher: Any, box: Mailbox, study: RemoteStudy, pilots: int) -> None:
        self._launcher, self._box, self._study, self._wanted = launcher, box, study, pilots
        self._pilots: dict[str, Allocation] = {}  # by the name of the pilot
        self._open: set[int] = set()
        self._numbers = itertools.count(1)
        self._failed_starts, self._watched = 0, 0.0

    def slots(self) -> int:
        """Return how many tasks can run at once: one per allocation."""
        return self._wanted

    def submit(self, jobs: Sequence[StoredJob]) -> Hashable:
        """Offer a task to the pilots."""
        task = next(self._numbers)
        self._open.add(task)
        self._box.post(task, jobs)
        return task

    def ended(self, seconds: float) -> Iterator[tuple[Hashable, TaskEnd]]:
        """Wait for a moment until a task ends, and yield all that have ended or were lost."""
        until = time.monotonic() + seconds
        found = False
        while not found and time.monotonic() < until:
            for task, reply in self._box.replies():
                found = True
                self._open.discard(task)
                self._failed_starts = 0
                if isinstance(reply, Exception):
                    raise_start_error(reply, repr(reply))
                yield task, reply
            if time.monotonic() - self._watched > _WATCH_SECONDS:
                self._watched = time.monotonic()
                for lost in self._lost_tasks():
                    found = True
                    yield lost
                self._start_pilots()
            if not found:
                time.sleep(min(0.05, seconds))

    def cancel(self, task: Hashable) -> None:
        """Take a task back; a pilot that has taken it is ended by :meth:`close`."""
        if isinstance(task, int):
            self._open.discard(task)
            self._box.withdraw(task)

    def close(self) -> None:
        """End all allocations."""
        for allocation in self._pilots.values():
            allocation.cancel(check=False)
        self._box.close()

    def _start_pilots(self) -> None:
        """Submit allocations while there are fewer than wanted, and tasks that wait for one."""
        busy = sum(bool(self._box.taken(name)) for name in self._pilots)
        for _ in range(min(self._wanted, busy + self._box.waiting()) - len(self._pilots)):
            name = uuid.uuid4().hex[:12]
            self._pilots[name] = self._launcher.submit(run_pilot, str(self._box.folder), name, self._study)

    def _lost_tasks(self) -> Iterator[tuple[Hashable, TaskEnd]]:
        """Yield the tasks of pilots that have ended without a reply.

        Raises:
            WorkerStartError: Several allocations in a row have ended before they took a task.
        """
        for name, allocation in list(self._pilots.items()):
            silent = self._box.seconds_silent(name)
            taken = [task for task in self._box.taken(name) if task in self._open]
            if not allocation.done() and (silent is None or silent < SILENT_SECONDS):
                continue
            del self._pilots[name]
            allocation.cancel(check=False)  # one that was believed lost may still run
            self._box.forget(name)
            if silent is None:
                self._count_failed_start(allocation)
            for task in taken:
                self._open.discard(task)
                yield task, TaskLost(reason_of(allocation.state))

    def _count_failed_start(self, allocation: Allocation) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            lines = (allocation.stderr() or "").strip().splitlines() or [f"state {allocation.state}"]
            raise WorkerStartError(
                f"allocations of Slurm end before they take a task: {lines[-1]}",
                f"The log of the last one is {allocation.paths.stderr}.",
            )


def reason_of(state: str) -> str:
    """Return why the tasks of an allocation were lost; empty if it is no fault of theirs.

    Args:
        state: The state of the allocation, as ``sacct`` names it.

    Example:
        >>> reason_of("TIMEOUT"), reason_of("CANCELLED by 1000"), reason_of("UNKNOWN")
        ('its allocation reached its time limit', '', 'its allocation ended')
    """
    name = state.split()[0].upper() if state.strip() else "UNKNOWN"
    return "" if name in _BLAMELESS else _REASONS.get(name, "its allocation ended")
