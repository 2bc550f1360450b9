"""The driver of a cluster: it hands jobs to other machines, and enters in the ledger how they end."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from distillab.errors import DiskFullError, RequestError, WorkerStartError
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StoredJob
from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import HEARTBEAT_SECONDS, MAX_DEATHS
from distillab.study.running.executors.executor import PROGRESS_SECONDS, OnProgress
from distillab.study.running.executors.remote import JobEnd
from distillab.study.running.lost import put_back_needed

WINDOW = 3  # tasks that were handed to a cluster, in multiples of those that run at once


@dataclass(frozen=True)
class TaskLost:
    """A task that will never end.

    Attributes:
        reason: Why, such as "its process died"; empty if it is no fault of its jobs, as when a node is lost.
    """

    reason: str = ""


TaskEnd = Sequence[JobEnd] | TaskLost


class Cluster(Protocol):
    """Machines that share the disk of a study. A task is a job, or a cohort of students."""

    def slots(self) -> int:
        """Return how many tasks can run at once now."""
        ...

    def submit(self, jobs: Sequence[StoredJob]) -> Hashable:
        """Hand a task over, and return what stands for it."""
        ...

    def ended(self, seconds: float) -> Iterator[tuple[Hashable, TaskEnd]]:
        """Wait for a moment until a task ends, and yield all that have ended.

        Raises:
            DiskFullError: There is no space left.
            WorkerStartError: No task can start.
        """
        ...

    def cancel(self, task: Hashable) -> None:
        """Take a task back that has not ended."""
        ...


class ClusterDriver:
    """Hands the open jobs of a study to a cluster until none is left.

    Nothing is repeated by the cluster itself: the jobs of a task that was lost are put back in the queue, and
    those that kill their process are tried again until they have died ``MAX_DEATHS`` times.

    Args:
        folder: The study.
        ledger: Its ledger, which this process alone writes.
        cluster: The cluster.
        on_progress: Called now and then with the share of the work that is finished.
    """

    def __init__(
        self, folder: StudyFolder, ledger: Ledger, cluster: Cluster, on_progress: OnProgress
    ) -> None:
        self._folder, self._ledger, self._cluster = folder, ledger, cluster
        self._on_progress = on_progress
        self._tasks: dict[Hashable, list[Job]] = {}
        self._beat = self._reported = time.monotonic()

    def run(self) -> None:
        """Run all open jobs."""
        try:
            while self._tasks or self._ledger.open_jobs():
                self._submit(WINDOW * max(self._cluster.slots(), 1))
                self._settle_ended()
                self._keep_alive()
        finally:
            self._put_back_all()

    def _submit(self, window: int) -> None:
        while len(self._tasks) < window and (jobs := self._ledger.claim()):
            self._tasks[self._cluster.submit([StoredJob.of(job) for job in jobs])] = jobs

    def _settle_ended(self) -> None:
        if not self._tasks:
            self._ledger.reclaim(count_death=True)  # the jobs of another driver, which may have died
            time.sleep(PROGRESS_SECONDS)
            return
        for task, outcome in self._cluster.ended(PROGRESS_SECONDS):
            jobs = self._tasks.pop(task, None)
            if jobs is None:
                continue  # it was believed lost
            if isinstance(outcome, TaskLost):
                self._put_back(jobs, outcome.reason)
            else:
                self._enter(outcome, {job.id: job for job in jobs})

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

    def _put_back(self, jobs: list[Job], reason: str) -> None:
        """Put the jobs of a lost task back; fail those that have killed their process too often."""
        for job in jobs:
            deaths = self._ledger.most_deaths([job]) + 1
            if reason and deaths >= MAX_DEATHS:
                self._ledger.fail(job.id, f"{reason} {deaths} times")
            else:
                self._ledger.release(job.id, count_death=bool(reason))

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
        for task, jobs in self._tasks.items():
            self._cluster.cancel(task)
            for job in jobs:
                self._ledger.release(job.id)


def raise_start_error(error: BaseException, text: str) -> NoReturn:
    """Raise what kept a task from starting: as it is where it says what is wrong, else as a start error.

    Args:
        error: What the task raised.
        text: Its traceback.

    Raises:
        DiskFullError: There is no space left.
        RequestError: Something that the study needs is missing on the other machine.
        WorkerStartError: Anything else.
    """
    if isinstance(error, DiskFullError | RequestError):
        raise error
    lines = str(error).splitlines() or [type(error).__name__]
    raise WorkerStartError(f"tasks cannot start: {lines[-1]}", text)
