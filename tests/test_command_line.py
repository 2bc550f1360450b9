"""The command line: exit codes, one line for every mistake, and the output of each command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from distillab import __version__
from distillab.api import Study
from distillab.cli import execute
from distillab.evidence.schema import read_rows
from distillab.factors import factors
from distillab.methods import methods
from distillab.modalities import modalities
from distillab.sources import sources
from distillab.study.running import job_runner as jobs
from distillab.tasks import tasks

TINY: dict[str, Any] = {
    "study": "tiny",
    "data": {"source": "digits", "classes": 3},
    "teacher": {"model": "resnet8", "provenance": "full"},
    "students": ["resnet8"],
    "methods": ["ce", "kd"],
    "factors": {"size": [5, 10]},
    "seeds": 2,
    "recipe": {"steps": 2, "batch_size": 8},
}


def write(folder: Path, **changes: Any) -> Path:
    """A study file: the tiny study with some keys changed."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


RESULT_COLUMNS = """
    run_id study dataset factor.size provenance teacher student method seed status n_train accuracy
    accuracy_selected balanced_accuracy macro_f1 worst_class_accuracy worst_group_accuracy nll brier ece
    agreement teacher_kl teacher_accuracy params macs epochs train_seconds n_test
"""
EFFECT_COLUMNS = """
    dataset factor.size provenance teacher student method baseline metric n_pairs gain ci_low ci_high
    p_value p_adjusted verdict gap_closed error_ratio
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny study that has been run."""
    folder = tmp_path_factory.mktemp("finished")
    study = write(folder)
    assert execute(["run", str(study), "--out", str(folder / "out"), "--executor", "inline"]) == 0
    return folder / "out"


# --- what users rely on ---------------------------------------------------------------------------------


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out == f"distillab {__version__}\n"


def test_wrong_usage_names_the_command_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--nonsense"]) == execute(["run"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("distillab: No such option")
    assert second.startswith("distillab: run: Missing argument")


def test_run_writes_the_documented_files(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {
        "study.yaml",
        "ledger.sqlite",
        "results.parquet",
        "effects.parquet",
        "report.html",
        "store",
    } <= names


def test_tables_have_the_documented_columns_in_order(finished: Path) -> None:
    results, effects = read_rows(finished / "results.parquet"), read_rows(finished / "effects.parquet")
    assert len(results) == 2 * 2 * 2
    columns = list(results[0])
    assert columns[: len(RESULT_COLUMNS.split())] == RESULT_COLUMNS.split()  # others follow
    assert list(effects[0])[:17] == EFFECT_COLUMNS.split()
    for row in results:
        assert row["status"] == "done"
        assert 0.0 <= row["accuracy"] <= 1.0
        assert row["n_train"] == 3 * row["factor.size"]


def test_gains_are_those_of_the_result_rows(finished: Path) -> None:
    results, effects = read_rows(finished / "results.parquet"), read_rows(finished / "effects.parquet")
    for effect in (row for row in effects if row["metric"] == "accuracy"):
        arm = {
            (row["method"], row["seed"]): row["accuracy"]
            for row in results
            if row["factor.size"] == effect["factor.size"]
        }
        gains = [arm["kd", seed] - arm["ce", seed] for seed in (0, 1)]
        assert effect["n_pairs"] == 2
        assert effect["gain"] == pytest.approx(np.mean(gains), abs=1e-12)


def test_second_run_runs_nothing_again(finished: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "store").rglob("record.json")}
    table = (finished / "results.parquet").read_bytes()
    assert execute(["run", str(write(tmp_path)), "--out", str(finished), "--executor", "inline"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (finished / "store").rglob("record.json")} == before
    assert (finished / "results.parquet").read_bytes() == table


def test_renamed_study_is_the_same_study(finished: Path, tmp_path: Path) -> None:
    study = write(tmp_path, study="another name", notes="and a note")
    assert execute(["run", str(study), "--out", str(finished), "--executor", "inline"]) == 0
    assert {row["study"] for row in read_rows(finished / "results.parquet")} == {"another name"}
    assert execute(["run", str(write(tmp_path)), "--out", str(finished), "--executor", "inline"]) == 0


def test_status_counts_the_jobs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["status", str(finished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"]["student"] == {"done": 8}
    assert found["jobs"]["teacher"] == {"done": 2}  # one for each seed
    assert found["share_done"] == 1.0


def test_reproduce_gives_the_same_numbers_to_the_bit(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in read_rows(finished / "results.parquet") if row["method"] == "kd")
    assert execute(["reproduce", str(finished), row["run_id"], "--device", "cpu"]) == 0
    assert "to the bit" in capsys.readouterr().out


def test_report_is_written_again(finished: Path) -> None:
    (finished / "report.html").unlink()
    assert execute(["report", str(finished)]) == 0
    assert "tiny" in (finished / "report.html").read_text()


def test_plan_shows_the_runs_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["plan", str(write(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "2 conditions x 2 methods x 2 seeds" in printed
    assert "8 students, 2 teachers," in printed
    assert "teachers of provenance full: each (chosen by the plan" in printed
    assert "replicates: 1: about" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_plan_in_json_states_teachers_and_power(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write(tmp_path, seeds=10)
    assert execute(["plan", str(study), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["teachers"]["replicates"], seen["teachers"]["automatic"]) == ("each", True)
    assert list(seen["teacher_seconds"]) == ["1", "3", "10"]
    assert seen["power"]["spread"]["comparisons"] == 0 and 0.01 < seen["power"]["gain"] < 0.02
    assert 1 < seen["power"]["relative_width"]["3"] < 3
    assert (seen["views_drawn"], seen["split_drawn"], seen["seeds"]) == (True, True, 10)
    assert execute(["plan", str(study), "--results", str(finished)]) == 2
    assert "no comparison has 5 finished pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "registry"),
    [
        ("sources", sources),
        ("factors", factors),
        ("methods", methods),
        ("tasks", tasks),
        ("modalities", modalities),
    ],
)
def test_list_is_complete(what: str, registry: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["list", what, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == list(registry)
    assert all(entry["about"] for entry in entries)


def test_relative_paths_start_at_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "pictures")
    study = write(tmp_path, data={"source": "folder", "path": "pictures"}, factors={})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert execute(["plan", str(study)]) == 0


def test_environment_variables_in_paths_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "pictures")
    monkeypatch.setenv("MY_PICTURES", str(tmp_path))
    study = write(tmp_path, data={"source": "folder", "path": "${MY_PICTURES}/pictures"}, factors={})
    assert execute(["plan", str(study)]) == 0


# --- mistakes --------------------------------------------------------------------------------------------


def pictures(folder: Path, classes: int = 3, images: int = 12, side: int = 8) -> Path:
    """An image folder of noise."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for i in range(images):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return folder


def four_channels(folder: Path) -> dict[str, Any]:
    labels = np.arange(40) % 4
    np.savez(folder / "a.npz", images=np.zeros((40, 8, 8, 4), dtype=np.uint8), labels=labels)
    return {"data": {"source": "npz", "path": "a.npz"}}


def other_classes(folder: Path) -> dict[str, Any]:
    pictures(folder / "p" / "train", classes=3)
    pictures(folder / "p" / "test", classes=4)
    return {"data": {"source": "folder", "path": "p"}}


def broken(folder: Path) -> dict[str, Any]:
    pictures(folder / "p")
    (folder / "p" / "class0" / "bad.png").write_bytes(b"\x89PNG but no picture")
    return {"data": {"source": "folder", "path": "p"}}


def from_pictures(**shape: int) -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        pictures(folder / "p", **shape)
        return {"data": {"source": "folder", "path": "p"}}

    return make


# The request, and parts of the line: what is wrong, where, and what is allowed.
MISTAKES: dict[str, tuple[dict[str, Any] | Callable[[Path], dict[str, Any]], tuple[str, ...]]] = {
    "unknown key": ({"sedes": 3}, ("study.yaml", "sedes", "seeds")),
    "unknown recipe key": ({"recipe": {"epocs": 3}}, ("recipe", "epocs", "epochs")),
    "epochs and steps": ({"recipe": {"epochs": 3, "steps": 3}}, ("recipe", "epochs", "steps")),
    "unknown source": ({"data": {"source": "digit"}}, ("data", "'digit'", "digits")),
    "unknown source key": ({"data": {"source": "digits", "resolutoin": 8}}, ("data", "resolution")),
    "unknown method": ({"methods": ["kdd"]}, ("methods", "'kdd'", "kd")),
    "unknown hyper-parameter": ({"methods": [{"kd": {"temprature": 2}}]}, ("methods.kd", "temperature")),
    "method twice": ({"methods": ["kd", {"kd": {"temperature": 4}}]}, ("methods", "twice")),
    "unknown factor": ({"factors": {"sizes": [5]}}, ("factors", "'sizes'", "size")),
    "unknown student": ({"students": ["resnet9"]}, ("'resnet9'", "resnet8")),
    "unknown role": ({"factors": {"size": {"levels": [5], "roles": ["tranfer"]}}}, ("size", "transfer")),
    "unreachable level": ({"factors": {"size": [5, 5000]}}, ("size", "5000", "at most")),
    "unknown baseline": ({"evidence": {"baselines": ["label_smoothing"]}}, ("evidence", "baseline", "ce")),
    "unknown provenance": ({"teacher": {"model": "resnet8", "provenance": "ful"}}, ("provenance", "full")),
    "external without weights": ({"teacher": {"model": "resnet8", "provenance": "external"}}, ("weights",)),
    "no seeds": ({"seeds": 0}, ("seeds", "at least 1")),
    "unset variable": ({"data": {"source": "folder", "path": "${NO_SUCH_PLACE}"}}, ("NO_SUCH_PLACE",)),
    "no such folder": ({"data": {"source": "folder", "path": "nowhere"}}, ("nowhere",)),
    "one class": (from_pictures(classes=1), ("one class",)),
    "too few images": (from_pictures(images=1), ("class0", "1")),
    "one pixel": (from_pictures(side=1), ("1x1",)),
    "four channels": (four_channels, ("4", "channel")),
    "classes differ": (other_classes, ("class3",)),
    "broken image": (broken, ("bad.png", "on_broken")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_before_anything_is_trained(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, parts = MISTAKES[mistake]
    study = write(tmp_path, **(changes(tmp_path) if callable(changes) else changes))
    assert execute(["run", str(study), "--out", str(tmp_path / "out"), "--executor", "inline"]) == 2
    assert_one_line(capsys, *parts)
    assert not (tmp_path / "out").exists()


def assert_one_line(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """Assert that one line with these parts was printed, as an error."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("distillab: ")
    assert "Traceback" not in printed.err
    for part in parts:
        assert part in printed.err


def test_missing_study_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert_one_line(capsys, "none.yaml", "No such file")


def test_invalid_yaml_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("study: [a\nb: c: d")
    assert execute(["plan", str(tmp_path / "bad.yaml")]) == 2
    assert_one_line(capsys, "bad.yaml", "YAML", "line 2")


def test_folder_of_another_study_is_reported(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = (finished / "results.parquet").read_bytes()
    study = write(tmp_path, recipe={"steps": 3, "batch_size": 8})
    assert execute(["run", str(study), "--out", str(finished)]) == 2
    assert_one_line(capsys, str(finished), "another study")
    assert (finished / "results.parquet").read_bytes() == table


def test_unwritable_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert execute(["run", str(write(tmp_path)), "--out", str(tmp_path / "file" / "out")]) == 2
    assert_one_line(capsys, "file", "cannot write")


@pytest.mark.parametrize("verb", ["status", "report"])
def test_folder_without_study_is_reported(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([verb, str(tmp_path)]) == 2
    assert_one_line(capsys, str(tmp_path), "no study here")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["frobnicate"], ("frobnicate",)),
        (["run", "study.yaml"], ("--out",)),
        (["run", "study.yaml", "--out", "out", "--workers", "0"], ("--workers",)),
        (["run", "study.yaml", "--out", "out", "--executor", "inlin"], ("--executor", "inline")),
        (["run", "study.yaml", "--out", "out", "--executor", "threads"], ("--executor", "slurm")),
        (["list", "method"], ("'method'", "methods")),
    ],
)
def test_invalid_command_is_reported(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == 2
    assert_one_line(capsys, *parts)


def test_interrupted_run_keeps_what_was_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Study, *given: Any, **keys: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    assert execute(["run", str(write(tmp_path)), "--out", str(tmp_path / "out")]) == 1
    assert_one_line(capsys, "stopped", "the same command resumes it")


def test_failed_job_of_any_kind_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Students are compared with the teacher's test outputs, so their loss is an error."""

    def broken(*given: Any, **keys: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(jobs, "teacher_outputs", broken)
    study = write(tmp_path, methods=["ce", "kd", {"self": {}}], factors={"size": [5]}, seeds=1)
    assert execute(["run", str(study), "--out", str(tmp_path / "out"), "--executor", "inline"]) == 1
    assert "failed: outputs" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["leaves [cropped]", "leaves [/x]"])
def test_names_are_printed_as_they_are(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write(tmp_path, study=name, factors={}, seeds=1, methods=["ce"])
    assert execute(["plan", str(study)]) == 0
    assert name in capsys.readouterr().out
    assert execute(["run", str(study), "--out", str(tmp_path / "out"), "--executor", "inline"]) == 0
    capsys.readouterr()
    assert execute(["status", str(tmp_path / "out")]) == 0
    assert name in capsys.readouterr().out


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--debug", "plan", str(tmp_path / "none.yaml")]) == 2
    assert "Traceback" in capsys.readouterr().err
