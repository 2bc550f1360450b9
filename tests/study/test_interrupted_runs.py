"""A run of a study that is killed in the middle of a training goes on to the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import distillab
from distillab.artefacts import RECORD
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, OutputsJob
from distillab.study.running.job_runner import JobRunner
from distillab.study.running.run import run_jobs
from distillab.study.spec.study import read_study
from distillab.training.loop.snapshots import VARIABLE
from support.interrupted import AfterStep, InterruptedTrainingError, resuming
from support.studies import CPU, begin, check_share, numbers, rows_of, run_here, write_study
from support.systems import small_form, write_titles

SOURCES = Path(distillab.__file__).parents[1]
STEPS = 300
LONG: dict[str, Any] = {
    "teacher": {"provenance": ["same"]},
    "factors": {},
    "seeds": 1,
    "recipe": {"steps": STEPS},
    "evidence": {"probes": 0},
}
TIMEOUT = 300.0  # seconds, so that a hang ends
TRAINED = ("teacher", "student")


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = begin(tmp_path_factory.mktemp("in_one_go"), **LONG)
    run_here(folder)
    return folder


def start(study: Path, out: Path, executor: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "distillab.cli", "run"),
            str(study),
            "--out",
            str(out),
            "--executor",
            executor,
        ],
        env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", VARIABLE: "0.2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_in_a_training(process: subprocess.Popen[str], out: Path, how: int) -> None:
    """Kill the group of a process as soon as there is a snapshot; SIGTERM is for the process alone."""
    deadline = time.monotonic() + TIMEOUT
    while not any((out / "snapshots").glob("*.safetensors")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    os.killpg(process.pid, how)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode != 0


def files_of(folder: StudyFolder) -> dict[str, bytes]:
    """Return all files of trained networks but their records, which hold times."""
    kinds = [folder.store.root / kind for kind in TRAINED]
    return {
        str(file.relative_to(folder.store.root)): file.read_bytes()
        for kind in kinds
        for file in sorted(kind.rglob("*.safetensors"))
    }


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(
    ("how", "executor"),
    [
        (signal.SIGKILL, "processes"),
        (signal.SIGTERM, "inline"),
    ],
)
def test_killed_training_goes_on_to_the_same_numbers(
    how: signal.Signals, executor: str, in_one_go: StudyFolder, tmp_path: Path
) -> None:
    study, out = write_study(tmp_path / "study.yaml", **LONG), tmp_path / "out"
    kill_in_a_training(start(study, out, executor), out, how)
    assert not list((out / "store").glob("teacher/*"))
    last = start(study, out, executor)
    printed, _ = last.communicate(timeout=TIMEOUT)
    assert last.returncode == 0, printed
    folder = StudyFolder.open(out)
    [teacher] = folder.store.run_records("teacher")
    assert teacher.resumed_at is not None and 0 < teacher.resumed_at < STEPS
    assert all(record.resumed_at is None for record in folder.store.run_records("student"))
    assert files_of(folder) == files_of(in_one_go)
    assert numbers(rows_of(folder)) == numbers(rows_of(in_one_go))
    assert not (out / "snapshots").exists()


# -- tasks ---------------------------------------------------------------------------------------------------

TASKS: dict[str, dict[str, Any]] = {
    "blood-cells-detection": {
        "data": {"source": "drawn_boxes", "images": 40, "test_images": 12, "resolution": 64, "val": 0.2},
        "students": ["fcos_dwnet_s"],
        "methods": ["ce", "mskd", "cosine_guided", "kd"],
    },
    "tracking": {
        "data": {
            "source": "drawn_tracks",
            "sequences": 2,
            "tested": 2,
            "frames": 12,
            "walkers": 3,
            "resolution": 48,
            "val": 0.2,
        },
    },
}
TEACHERS = {"blood-cells-detection": "fcos_resnet_s", "tracking": "fairmot_resnet_m"}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_goes_on_to_the_same_numbers(name: str, tmp_path: Path) -> None:
    """Each teacher and student of a small study, interrupted after the second of four steps."""
    values = small_form(name, steps=4, **TASKS[name])
    values["teacher"]["model"] = TEACHERS[name]
    check_study(values, tmp_path)


def test_texts_go_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="the extra distillab[text] is not installed")
    write_titles(tmp_path, ("finance", "sports", "game"))
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    check_study(
        small_form("chinese-text", steps=4, students=["textcnn_small"], methods=["ce", "kd"]), tmp_path
    )


def check_study(values: dict[str, Any], tmp_path: Path) -> None:
    values["evidence"] = {"probes": 0}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(tmp_path / "dir", read_study(tmp_path / "study.yaml"), CPU)
    run_jobs(folder, executor="inline", workers=1, device="cpu", on_progress=check_share)
    with folder.ledger() as ledger:
        jobs = [folder.job(each) for each in ledger.states()]
    trained = [job for job in jobs if not isinstance(job, OutputsJob) and job.kind in TRAINED]
    assert len(trained) > 2
    for job in trained:
        if folder.store.run_record("teacher" if job.kind == "teacher" else "student", job.id).curve:
            check_goes_on(folder, job, tmp_path / "again" / job.id)


def check_goes_on(folder: StudyFolder, job: Job, scratch: Path) -> None:
    runner, snapshots = JobRunner(folder, CPU), scratch / "snapshots"
    for part in ("first", "second"):
        (scratch / part).mkdir(parents=True)
    with pytest.raises(InterruptedTrainingError):
        runner.make([job], scratch / "first", AfterStep(snapshots, 2))
    [record] = runner.make([job], scratch / "second", resuming(snapshots))
    assert getattr(record, "resumed_at", None) == 2, job
    stored = folder.store.folder(job.kind, job.id)
    for file in (scratch / "second" / job.id).glob("*.safetensors"):
        assert file.read_bytes() == (stored / file.name).read_bytes(), (job, file.name)
    assert (scratch / "second" / job.id / RECORD).exists()
