"""The slurm executor: allocations that end change no number, and nothing but specifications travels."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import pytest
import submitit

import distillab
from distillab.cli import execute
from distillab.errors import DiskFullError, RequestError, WorkerStartError
from distillab.integrity import DamagedFileError
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob
from distillab.study.ledger.ledger import MAX_DEATHS
from distillab.study.running import check_executor
from distillab.study.running.executors import pilot
from distillab.study.running.executors.cluster import ClusterDriver, TaskLost
from distillab.study.running.executors.mailbox import Mailbox
from distillab.study.running.executors.messages import reply_from_text, reply_to_text
from distillab.study.running.executors.remote import RemoteStudy
from distillab.study.running.executors.slurm import MOST_FAILED_STARTS, PilotCluster, reason_of, slurm
from distillab.training.teachers.cache import CacheMissError
from support.fake_slurm import FakeSlurm
from support.studies import Undisturbed, begin, check_share, numbers, run_here, states_of, write_study

SOURCES = Path(distillab.__file__).parents[1]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCES), *sys.path]))
    made = FakeSlurm(tmp_path / "slurm", monkeypatch)
    yield made
    for number in made.running():
        made.end(number, "CANCELLED")


def test_slurm_gives_the_numbers_of_inline_while_a_node_is_lost(
    cluster: FakeSlurm, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = begin(tmp_path / "dir")
    lost: list[int] = []

    def lose_a_node(share: float) -> None:
        if not lost and any((folder.path / "slurm").glob("tasks-*/taken/*/*")):
            lost.append(cluster.running()[0])
            cluster.end(lost[0], "NODE_FAIL")

    slurm(folder, workers=1, device="cpu", on_progress=lose_a_node)
    assert lost
    assert set(states_of(folder).values()) == {"done"}
    with folder.ledger() as ledger:
        assert ledger.deaths() == 0  # a lost node is no fault of the jobs on it
    assert not cluster.running()
    assert not list((folder.path / "slurm").glob("tasks-*"))
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)


def test_command_submits_allocations_with_the_cores_of_a_job(
    cluster: FakeSlurm, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    study = write_study(tmp_path / "study.yaml")
    command = ["run", str(study), "--out", str(tmp_path / "out"), "--executor", "slurm", "--workers", "2"]
    assert execute(command) == 0
    script = cluster.script(1)
    assert "#SBATCH --cpus-per-task=1" in script
    assert "#SBATCH --time=60" in script
    assert numbers(run_here(StudyFolder.open(tmp_path / "out"))) == numbers(undisturbed.rows)


def test_study_runs_with_the_local_executor_of_submitit(tmp_path: Path, undisturbed: Undisturbed) -> None:
    folder = begin(tmp_path)
    box = Mailbox.new(tmp_path / "box")
    with folder.ledger() as ledger:
        study = RemoteStudy.of(folder, "cpu")
        launcher = submitit.LocalExecutor(folder=tmp_path / "logs")
        launcher.update_parameters(timeout_min=30)
        allocations = PilotCluster(launcher, box, study, 2)
        try:
            ClusterDriver(folder, ledger, allocations, check_share).run()
        finally:
            allocations.close()
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)


def test_job_whose_allocation_reached_its_limit_counts_a_death(cluster: FakeSlurm, tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")

    def reach_the_limit(share: float) -> None:
        with folder.ledger() as ledger:
            if ledger.deaths():
                raise KeyboardInterrupt
        if list((folder.path / "slurm").glob("tasks-*/taken/*/*")):
            for number in cluster.running():
                cluster.end(number, "TIMEOUT")

    with pytest.raises(KeyboardInterrupt):
        slurm(folder, workers=1, device="cpu", on_progress=reach_the_limit)
    assert not cluster.running()
    assert "running" not in states_of(folder).values()


class Unreliable:
    """A cluster that loses every task."""

    def __init__(self, reason: str) -> None:
        self.reason, self.submitted, self.open = reason, 0, list[int]()

    def slots(self) -> int:
        return 1

    def submit(self, jobs: Sequence[StoredJob]) -> int:
        self.submitted += 1
        self.open.append(self.submitted)
        return self.submitted

    def ended(self, seconds: float) -> Iterator[tuple[Hashable, TaskLost]]:
        if self.submitted > 100:
            raise KeyboardInterrupt
        while self.open:
            yield self.open.pop(), TaskLost(self.reason)

    def cancel(self, task: Hashable) -> None:
        pass


def test_job_that_always_loses_its_process_fails_in_the_end(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    with folder.ledger() as ledger:
        ClusterDriver(folder, ledger, Unreliable("its allocation reached its time limit"), check_share).run()
        errors = [failure.error for failure in ledger.failures()]
    assert f"its allocation reached its time limit {MAX_DEATHS} times" in errors


def test_job_of_lost_nodes_never_fails(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    with folder.ledger() as ledger, pytest.raises(KeyboardInterrupt):
        ClusterDriver(folder, ledger, Unreliable(""), check_share).run()
    assert set(states_of(folder).values()) <= {"queued", "waiting"}


@pytest.mark.parametrize(
    "error",
    [
        DamagedFileError(Path("store/student/8f0c"), "is missing"),
        CacheMissError("4 of 8 views are not stored"),
        DiskFullError("no space left"),
        RequestError("is missing", where="data", allowed="a folder"),
    ],
)
def test_errors_arrive_as_they_were(error: Exception) -> None:
    again = reply_from_text(reply_to_text(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_allocations_that_never_start_end_the_run(cluster: FakeSlurm, tmp_path: Path) -> None:
    folder = begin(tmp_path / "dir")
    cluster.break_nodes()
    with pytest.raises(WorkerStartError, match="allocations of Slurm end before they take a task"):
        slurm(folder, workers=1, device="cpu", on_progress=check_share)
    assert len(list(cluster.folder.glob("[0-9]*"))) == MOST_FAILED_STARTS
    assert "queued" in states_of(folder).values()


def test_one_pilot_alone_takes_a_task(tmp_path: Path) -> None:
    box = Mailbox.new(tmp_path)
    jobs = [StoredJob(id=f"job{n}", kind="student", spec={}, inputs={}) for n in range(200)]
    for number, job in enumerate(jobs):
        box.post(number, [job])
    taken: dict[str, list[int]] = {"a": [], "b": [], "c": []}

    def take_all(name: str) -> None:
        while task := box.take(name):
            assert task[1] == [jobs[task[0]]]
            taken[name].append(task[0])

    threads = [threading.Thread(target=take_all, args=(name,)) for name in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*taken.values())) == list(range(200))
    assert {name: box.taken(name) for name in taken} == {name: sorted(each) for name, each in taken.items()}


def test_pilot_ends_without_tasks_and_without_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = RemoteStudy.of(begin(tmp_path / "dir"), "cpu")
    box = Mailbox.new(tmp_path / "idle")
    pilot.run_pilot(str(box.folder), "idle", study, idle_seconds=0.5)
    assert box.seconds_silent("idle") is not None
    box.close()
    pilot.run_pilot(str(box.folder), "closed", study)

    monkeypatch.setattr(pilot, "ABANDONED_SECONDS", 0.0)
    left = Mailbox.new(tmp_path / "left")
    left.seconds_silent("nobody")  # the only sign of life of the driver
    pilot.run_pilot(str(left.folder), "abandoned", study, idle_seconds=60)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("PREEMPTED", ""),
        ("CANCELLED by 0", ""),
        ("OUT_OF_MEMORY", "its process used up the memory of its allocation"),
        ("", "its allocation ended"),
    ],
)
def test_only_the_fault_of_a_job_counts_against_it(state: str, reason: str) -> None:
    assert reason_of(state) == reason


def test_slurm_is_refused_without_its_commands_or_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RequestError, match="--executor slurm: there is no Slurm on this machine"):
        check_executor("slurm", 2)
    with pytest.raises(RequestError, match="--workers: the executor slurm has to know how many allocations"):
        check_executor("slurm", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RequestError, match=r"pip install 'distillab\[slurm\]'"):
        check_executor("slurm", 2)
