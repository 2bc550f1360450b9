"""The ray executor: nodes and drivers that are killed, and nodes that join, change no number."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

import distillab
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.job import StoredJob
from distillab.study.ledger import Ledger
from distillab.study.running import check_executor
from distillab.study.running.executors.ray_cluster import check_nodes, ray_cluster
from distillab.study.running.executors.remote import RemoteStudy, run_remote
from support.studies import Undisturbed, artefacts, begin, numbers, run_here, states_of, write_study

SOURCES = Path(distillab.__file__).parents[1]
KILLS = 1


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster whose head runs no jobs, with one node of one core; this process is connected to it."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield made
    ray.shutdown()
    made.shutdown()


def run_on(folder: StudyFolder, on_progress: Callable[[float], None]) -> None:
    ray_cluster(folder, workers=1, device="cpu", on_progress=on_progress)


def finished(folder: StudyFolder) -> dict[str, tuple[int, ...]]:
    """Return the artifacts of jobs that the ledger has as done."""
    done = {name for name, state in states_of(folder).items() if state == "done"}
    return {name: times for name, times in artefacts(folder).items() if name.split("/")[1] in done}


def test_ray_gives_the_numbers_of_inline_while_nodes_are_killed_and_join(
    cluster: Cluster, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = begin(tmp_path)
    nodes = [cluster.worker_nodes.copy().pop()]
    kept: dict[str, tuple[int, ...]] = {}
    kills = 0

    def replace_node(share: float) -> None:
        nonlocal kills
        before = finished(folder)
        assert kept.items() <= before.items()  # nothing was run again or changed
        if kills < KILLS and len(before) > kills:
            kept.update(before)
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
            kills += 1

    run_on(folder, replace_node)
    assert kills == KILLS
    assert kept.items() <= artefacts(folder).items()
    assert set(states_of(folder).values()) == {"done"}
    with folder.ledger() as ledger:
        assert ledger.deaths() == 0  # a lost node is no fault of the jobs on it
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)


def test_driver_that_is_killed_is_resumed(tmp_path: Path, undisturbed: Undisturbed) -> None:
    study, out = write_study(tmp_path / "study.yaml"), tmp_path / "dir"
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(out)]
    driver = subprocess.Popen(
        [*command, "--executor", "ray"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCES), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    folder = StudyFolder(out)
    started = False
    while driver.poll() is None and not (started and finished(folder)):
        started = started or any((out / "store" / "student").glob("*"))
        time.sleep(0.02)
    assert driver.poll() is None, driver.communicate()[0]
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    kept = finished(folder)
    assert kept
    assert "queued" in states_of(folder).values()

    assert numbers(run_here(folder, "inline")) == numbers(undisturbed.rows)
    assert kept.items() <= artefacts(folder).items()


def test_jobs_on_other_nodes_open_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begin(tmp_path)
    study = RemoteStudy.of(folder, "cpu")
    with folder.ledger() as ledger:
        [job] = ledger.claim()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a ledger was opened")

    monkeypatch.setattr(Ledger, "__init__", refuse)
    [end] = run_remote(study, [StoredJob.of(job)])
    assert end.job == job.id
    assert end.error == ""
    assert end.seconds


def test_number_of_workers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study.yaml")
    command = ["run", str(study), "--out", str(tmp_path / "out"), "--executor", "ray", "--workers", "2"]
    assert execute(command) == 2
    assert "--workers: does not apply to the executor ray" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_extra_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match=r"pip install 'distillab\[ray\]'"):
        check_executor("ray", None)


@pytest.mark.parametrize(
    ("nodes", "gpus"),
    [([], 0), ([{"CPU": 1.0}], 0), ([{"CPU": 8.0}], 1), ([{"CPU": 1.0, "GPU": 1.0}, {"CPU": 8.0}], 1)],
)
def test_cluster_without_a_node_for_a_job_is_refused(nodes: list[dict[str, float]], gpus: int) -> None:
    with pytest.raises(RequestError, match="no node of the cluster has 2 cores"):
        check_nodes(nodes, 2, gpus)
    check_nodes([*nodes, {"CPU": 2.0, "GPU": 1.0}], 2, gpus)
