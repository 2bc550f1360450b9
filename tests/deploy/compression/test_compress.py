"""Compression from end to end: every arm, files that can be shipped, resumption, refusals in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distillab.api import Study
from distillab.api.compression import compress
from distillab.api.compression_subject import with_class_order
from distillab.artefacts import RunRecord
from distillab.cli import execute
from distillab.deploy import ModelDescription, export_run, load_model
from distillab.deploy.compression.result import Compressed
from distillab.errors import RequestError
from distillab.models import InputSpec
from distillab.study.folder import StudyFolder

DATA = "digits"
KEYS = {"classes": ["0", "1", "2"]}
REQUEST: dict[str, Any] = {"prune": "0.4,0.6", "steps": 4, "seeds": 2, "recipe": {"batch_size": 16}}
FEW: dict[str, Any] = {**REQUEST, "prune": 0.5, "kinds": ["structured"], "int8": False, "seeds": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network that was trained a little on three digits."""
    folder = tmp_path_factory.mktemp("model")
    study = Study(
        study="tiny",
        data={"source": DATA, **KEYS},
        teacher={"model": "convnet3", "provenance": "full", "recipe": {"steps": 1}},
        students=["convnet3"],
        methods=["ce"],
        seeds=1,
        draws={"split": "shared"},
        recipe={"steps": 30, "batch_size": 16, "lr": 0.1},
        evidence={"probes": 0},
    )
    finished = study.run(folder / "study", executor="inline", workers=1)
    export_run(finished.folder, None, folder / "exported", formats=("safetensors",))
    return folder / "exported"


def compressed(model: Any, out: Path, **changes: Any) -> Compressed:
    request = {**REQUEST, **changes}
    return compress(model, DATA, keys=KEYS, out=out, executor="inline", workers=1, **request)


@pytest.fixture(scope="module")
def found(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    """A compression with everything on."""
    return compressed(model, tmp_path_factory.mktemp("compression") / "out", max_drop=100.0)


def test_every_combination_of_techniques_is_an_arm(found: Compressed) -> None:
    techniques = {arm.techniques for arm in found.arms}
    assert techniques == {
        (),
        ("int8",),
        ("KD",),
        ("KD", "int8"),
        ("prune",),
        ("prune", "int8"),
        ("prune", "KD"),
        ("prune", "KD", "int8"),
    }
    pruned = {(arm.kind, arm.sparsity) for arm in found.arms if arm.kind}
    assert pruned == {(kind, share) for kind in ("structured", "unstructured") for share in (0.4, 0.6)}
    assert found.given.is_given
    assert {len(arm.networks) for arm in found.arms if arm.fine_tuned} == {2}


def test_costs_follow_from_what_was_done(found: Compressed) -> None:
    costs = {(arm.techniques, arm.kind, arm.sparsity): arm.cost for arm in found.arms if not arm.is_control}
    given = costs[(), None, 0.0]
    assert given is not None
    for (techniques, kind, _), cost in costs.items():
        assert cost is not None
        assert (cost.macs < given.macs) == (kind == "structured")
        assert (cost.params < given.params) == (kind == "structured")
        assert (cost.nonzero < given.nonzero) == (kind is not None)
        if "int8" in techniques:
            assert cost.size < costs[tuple(t for t in techniques if t != "int8"), kind, _].size  # type: ignore[union-attr]
        elif kind == "unstructured":
            assert cost.size == given.size
            assert cost.gzip_size < given.gzip_size
        assert cost.p95_ms >= cost.p50_ms > 0


def test_fine_tunings_start_from_the_same_weights(found: Compressed) -> None:
    for stage in ("1", "2"):
        folder = StudyFolder.open(found.folder / "stages" / stage)
        with folder.ledger() as ledger:
            cells = ledger.cells()
        starts: dict[str, set[str]] = {}
        for cell in cells:
            record = RunRecord.read(folder.store.folder("student", str(cell.run_id)))
            assert record.start is not None
            starts.setdefault(cell.student, set()).add(record.start["weights"])
        assert all(len(weights) == 1 for weights in starts.values())
        assert len({next(iter(weights)) for weights in starts.values()}) == len(starts)
    assert [each.after for each in found.recovery if each.sparsity == 0.6] == ["plain", "distilled"] * 2


def test_winner_is_a_model_that_predicts_as_it_was_measured(found: Compressed) -> None:
    assert found.winner is not None
    assert found.model is not None
    loaded = load_model(found.model)
    assert loaded.description.pruned == (found.winner.kind == "structured")
    test = StudyFolder.open(found.folder / "stages" / "1").dataset.eval["test"]
    right = loaded.logits(test).argmax(axis=1) == test.targets.values
    assert abs(right.mean() - found.winner.chosen.test) < 0.1
    facts = json.loads((found.model / "config.json").read_text())["facts"]["compression"]
    assert facts["request"] == json.loads((found.folder / "compress.json").read_text())["identity"]
    assert "## Compression" in (found.model / "README.md").read_text(encoding="utf-8")


def test_answer_table_and_page_are_written(found: Compressed) -> None:
    answer = json.loads((found.folder / "answer.json").read_text())
    assert answer["ship"] == found.winner.label  # type: ignore[union-attr]
    assert answer["artifact"] == str(found.model)
    with (found.folder / "arms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == [arm.label for arm in found.arms]
    page = found.report.read_text(encoding="utf-8")
    assert found.headline in page


def test_same_command_trains_nothing_again(found: Compressed, model: Path, tmp_path: Path) -> None:
    def trained() -> dict[Path, int]:
        runs = [*found.folder.glob("stages/*/store/student/*"), *found.folder.glob("deployed/*")]
        return {run: run.stat().st_mtime_ns for run in runs}

    before = trained()
    again = compressed(model, found.folder, max_drop=0.0)
    assert trained() == before
    assert [arm.test for arm in again.arms] == [arm.test for arm in found.arms]
    assert again.max_drop == 0.0
    assert (found.folder / "model").is_dir() == (again.model is not None)


def test_interrupted_compression_goes_on_where_it_stopped(model: Path, tmp_path: Path) -> None:
    def stop(stage: str, share: float) -> None:
        if stage.startswith("writing and checking") and share >= 0.5:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        compress(model, DATA, keys=KEYS, out=out, executor="inline", workers=1, on_progress=stop, **FEW)
    runs = {run: run.stat().st_mtime_ns for run in out.glob("stages/*/store/student/*")}
    assert runs
    finished = compressed(model, out, **FEW)
    assert {run: run.stat().st_mtime_ns for run in out.glob("stages/*/store/student/*")} == runs
    assert len(finished.arms) == 5


def test_network_of_a_program_is_compressed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )
    images = torch.randint(0, 256, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    labels = [0, 1, 2] * 20
    images[::3, :, :4], images[1::3, :, 4:] = 250, 250
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(RequestError, match="chance"):
        compress(network, (images, labels), out=tmp_path / "chance", executor="inline", workers=1, **FEW)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    inputs = images.float() / 255
    mean, std = float(inputs.mean()), float(inputs.std())
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network((inputs - mean) / std), torch.tensor(labels)).backward()
        optimizer.step()
    found = compress(
        network,
        (images, labels),
        normalization=([mean], [std]),
        out=tmp_path / "trained",
        executor="inline",
        workers=1,
        **FEW,
    )
    assert found.given.val > 0.9
    assert set(before) == set(network.state_dict())


def test_teacher_may_be_another_model(model: Path, tmp_path: Path) -> None:
    found = compressed(model, tmp_path / "out", teacher=model, **{**FEW, "prune": 0, "steps": 2})
    assert found.teacher == "convnet3"
    assert [arm.label for arm in found.arms] == ["as given", "trained further", "KD"]


HALF = np.full(1, 0.5, np.float32)
DESCRIPTION = ModelDescription(
    architecture="resnet8", classes=("a", "b", "c"), item=InputSpec(1, 8, 8), mean=HALF, std=HALF
)


def test_logits_take_the_order_of_the_classes_of_the_data() -> None:
    network, images = DESCRIPTION.build(), torch.randn(4, 1, 8, 8)
    moved = with_class_order(network, DESCRIPTION, ("c", "a", "b"), "model").eval()
    assert torch.equal(moved(images), network(images)[:, [2, 0, 1]])


@pytest.mark.parametrize("classes", [("a", "b", "d"), ("a", "b"), ("a", "b", "c", "d")])
def test_other_classes_are_refused_with_those_of_the_model(classes: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="allowed: a, b, c"):
        with_class_order(DESCRIPTION.build(), DESCRIPTION, classes, "model")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--prune", "1"], "--prune: 1 is not a share of the weights (allowed: 0 or more, less than 1)"),
        (["--prune", "-0.5"], "--prune: -0.5 is not a share"),
        (["--prune", "lots"], "--prune: 'lots' is not a share"),
        (["--kinds", "filters"], "--kinds: unknown kind of pruning 'filters'"),
        (["--kinds", ""], "--kinds: names no kind of pruning"),
        (["--steps", "0"], "--steps: 0 is not a number of steps"),
        (["--seeds", "0"], "--seeds: 0 is not a number of seeds"),
        (["--max-drop", "-1"], "--max-drop: -1 is not a drop"),
        (["--method", "kdd"], "unknown method 'kdd'"),
        (["--set", "classes=[0, 1]"], "the data have other classes than the model, which lack '2'"),
        (["--set", "classes=[0, 1, 3]"], "the data have other classes than the model, such as '3'"),
        (["--teacher", "nowhere"], "nowhere: there is no such file or folder"),
    ],
)
def test_wrong_request_is_one_line(
    options: list[str], line: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [] if "--set" in options else ["--set", "classes=[0, 1, 2]"]
    out = tmp_path / "out"
    assert execute(["compress", str(model), DATA, "--out", str(out), *classes, *options]) == 2
    error = capsys.readouterr().err.strip()
    assert line in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_folder_of_another_compression_is_refused(
    found: Compressed, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compress", str(model), DATA, "--out", str(found.folder), "--set", "classes=[0, 1, 2]"]
    assert execute([*command, "--steps", "5"]) == 2
    assert "this folder belongs to another compression" in capsys.readouterr().err


def test_file_where_the_folder_should_be_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    command = ["compress", str(model), DATA, "--out", str(tmp_path / "out")]
    assert execute([*command, "--set", "classes=[0, 1, 2]"]) == 2
    assert "cannot be used" in capsys.readouterr().err
