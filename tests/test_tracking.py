"""Every run of a study is entered into a tracker once, whatever was interrupted or resumed."""

from __future__ import annotations

from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.track import check_tracker, track_study, tracked_runs, tracking
from support.studies import CPU, run_here, spec


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    path = tmp_path_factory.mktemp("tracked") / "dir"
    one_cell: dict[str, Any] = {"factors": {}, "seeds": 1, "teacher": {"provenance": ["full"]}}
    folder = StudyFolder.begin(path, spec(**one_cell), CPU)
    run_here(folder)
    return folder


def test_tracked_run_has_params_curve_metrics_and_files(finished: StudyFolder) -> None:
    runs = list(tracked_runs(finished))
    assert sorted(run.kind for run in runs) == ["student", "student", "teacher"]
    distilled = next(run for run in runs if run.params.get("method") == "kd")
    assert distilled.params["recipe.steps"] == "3" and distilled.params["seed"] == "0"
    assert 0 <= distilled.metrics["accuracy"] <= 1 and "seed" not in distilled.metrics
    assert {"val", "loss.ce"} <= {point.name for point in distilled.curve}
    assert {file.name for file in distilled.files} == {"record.json", "weights.safetensors"}


def test_tensorboard_has_each_run_once(finished: StudyFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = track_study(finished, "tensorboard")
    root = finished.path / "tensorboard"
    stamps = {file: file.stat().st_mtime_ns for file in root.glob("*-*/events*")}
    (root / ".half").mkdir()  # of a process that was killed
    again = track_study(finished, "tensorboard")
    assert (first.added, again.added, again.total) == (3, 0, 3)
    assert stamps == {file: file.stat().st_mtime_ns for file in root.glob("*-*/events*")}
    run = next(run for run in tracked_runs(finished) if run.params.get("method") == "kd")
    read = EventAccumulator(str(root / f"student-{run.id}"))
    read.Reload()
    assert [each.step for each in read.Scalars("curve/val")][-1] == 3
    assert read.Scalars("metric/accuracy")[-1].value == pytest.approx(run.metrics["accuracy"])


def test_mlflow_has_each_run_once(finished: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = track_study(finished, "mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.path / 'mlflow.db'}")
    [experiment] = client.search_experiments(filter_string="name = 'small'")

    def entered() -> dict[str, Any]:
        runs = client.search_runs([experiment.experiment_id])
        return {run.data.tags["distillab.run_id"]: run for run in runs if "distillab.run_id" in run.data.tags}

    held = entered()
    half = next(iter(held))
    client.update_run(held[half].info.run_id, status="RUNNING")  # as if the process had been killed
    again = track_study(finished, "mlflow")
    assert (first.added, again.added, again.total) == (3, 0, 3)
    assert entered().keys() == held.keys() and len(client.search_runs([experiment.experiment_id])) == 4
    assert {run.info.status for run in entered().values()} == {"FINISHED"}
    assert entered()[half].info.run_id != held[half].info.run_id
    run = next(run for run in tracked_runs(finished) if run.params.get("method") == "kd")
    found = held[run.id]
    assert found.data.params["recipe.steps"] == "3"
    assert found.data.metrics["accuracy"] == pytest.approx(run.metrics["accuracy"])
    assert [each.step for each in client.get_metric_history(found.info.run_id, "curve.val")][-1] == 3
    assert {each.path for each in client.list_artifacts(found.info.run_id)} >= {"record.json"}


def test_unknown_and_missing_trackers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"unknown tracker 'wandb'.*mlflow"):
        check_tracker("wandb")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(
        RequestError, match=r"needs the package mlflow \(allowed: pip install 'distillab\[track\]'"
    ):
        check_tracker("mlflow")
