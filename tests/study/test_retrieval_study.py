"""The chapter on distillation: its study of retrieval in a small form, from data to report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import average_precision_score
from torch.nn.functional import normalize

from distillab.artefacts import LOGITS, load_logits
from distillab.cli import execute
from distillab.evidence.schema import read_rows
from distillab.modalities import normalization_of
from distillab.report.collect.retrieval import retrieval_view
from distillab.study.folder import StudyFolder
from distillab.study.job import OutputsJob
from distillab.study.planning.conditions import Condition
from distillab.training.stages import open_network
from support.studies import CPU, rows_of
from support.systems import refusal_of_plan, small_form, write_cifar100

NAME = "passalis-retrieval"
HINT_FIRST = {"kd": {}, "start": {"method": {"fitnet": {"ce_weight": 0}}, "steps": 2}}


def small(**changes: Any) -> dict[str, Any]:
    values = small_form(NAME, factors={"size": [8]})
    contrasts = {} if "methods" in changes else {"contrasts": values["evidence"]["contrasts"]}
    values["evidence"] = {**contrasts, "probes": 0}
    values["data"] = {**values["data"], "classes": 4, "resolution": 16, "val": 0.25, "duplicates": "keep"}
    values["teacher"]["model"] = "resnet8"
    return {**values, **changes}


def run(base: Path, values: dict[str, Any]) -> StudyFolder:
    (base / "study.yaml").write_text(yaml.safe_dump(values))
    command = ["run", str(base / "study.yaml"), "--out", str(base / "out"), "--executor", "inline"]
    assert execute([*command, "--device", "cpu"]) == 0
    return StudyFolder.open(base / "out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form of the study, with a hint of two stages beside, run by the command line."""
    base = tmp_path_factory.mktemp("retrieval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLAB_DATA", str(write_cifar100(base / "data")))
        values = small()
        return run(base, {**values, "methods": [*values["methods"], HINT_FIRST]})


def test_every_method_of_the_chapter_is_judged_by_retrieval(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    methods = {row["method"] for row in rows}
    assert methods >= {"ce", "fitnet", "kd", "pkt", "mutual_learning", "self"}
    assert any(name.startswith("multilayer_pkt") for name in methods)
    assert sum(name.startswith("embedding_hint") for name in methods) == 2
    for row in rows:
        assert row["status"] == "done"
        assert 0 <= row["map"] <= 1 and 0 <= row["precision_at_k"] <= 1 and 0 <= row["accuracy"] <= 1
        assert 0 <= row["map_selected"] <= 1
    assert all(0 <= row["teacher_map"] <= 1 for row in rows if row["method"] == "pkt")
    assert {row["metric"] for row in read_rows(folder.effects_file)} >= {"map", "precision_at_k", "accuracy"}
    started = [row for row in rows if "start" in row["student"]]
    assert {row["method"] for row in started} == {"ce", "kd"}, "the two stages of a hint"


def test_the_stored_average_precision_is_that_of_the_embeddings(folder: StudyFolder) -> None:
    with folder.ledger() as ledger:
        cell = next(each for each in ledger.cells() if each.method == "pkt" and each.run)
        [condition] = ledger.conditions()
    roles = folder.roles(Condition.read(condition.condition))
    network = open_network(folder.store.folder("student", cell.run_id), roles.labelled, CPU)
    caught: list[Any] = []
    layer = network.get_submodule("fc")
    layer.register_forward_pre_hook(lambda module, inputs: caught.append(normalize(inputs[0].float())))
    for examples in (roles.labelled, roles.eval["test"]):
        network(normalization_of(folder.dataset)(torch.from_numpy(examples.images)))
    similarity = (caught[1] @ caught[0].T).detach().numpy().round(6)
    labels, wanted = roles.labelled.labels, roles.eval["test"].labels
    expected = [
        average_precision_score(labels == label, row) for label, row in zip(wanted, similarity, strict=True)
    ]
    stored = load_logits(folder.store.folder("student", cell.run_id) / LOGITS)["test.last"][:, -2]
    np.testing.assert_allclose(stored.astype(np.float64), expected, atol=2e-3)


def test_the_report_shows_what_queries_retrieve(folder: StudyFolder) -> None:
    view = retrieval_view(folder)
    assert view is not None and view.database == 32
    assert [query.place for query in view.queries] == [
        "lowest gain",
        "first quartile of the gain",
        "median gain",
        "third quartile of the gain",
        "highest gain",
    ]
    gains = [query.found[1].average_precision - query.found[0].average_precision for query in view.queries]
    assert gains == sorted(gains)
    for query in view.queries:
        assert [by.network for by in query.found[:3]] == ["plain student (ce)", "pkt", "kd"]
        for by in query.found:
            assert len(by.tiles) == 8
            assert all(tile.right == (tile.name == query.name) for tile in by.tiles)
    page = folder.report_file.read_text()
    assert "What is retrieved" in page and "Retrieval mAP" in page and 'class="right"' in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {"name": "embedding", "k": 33}}, "the training set has 32 examples, and precision_at_k"),
        ({"task": {"name": "embedding", "k": 0}}, "task.k: 0 is not accepted"),
        ({"methods": ["ce", "exits"]}, "method exits makes several exits, and the task embedding judges one"),
        ({"students": ["mean(resnet8+resnet8)"]}, "embedding"),
    ],
)
def test_wrong_requests_of_retrieval_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path)))
    line = refusal_of_plan(tmp_path, small(**changes), capsys)
    assert message in line


def test_a_teacher_without_an_embedding_has_no_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path / "data")))
    teacher = {**small()["teacher"], "model": "", "models": ["resnet8", "convnet3"]}
    folder = run(tmp_path, small(teacher=teacher, methods=["ce", "kd"]))
    for row in rows_of(folder):
        assert row["teacher_map"] is None and 0 <= row["map"] <= 1 and 0 <= row["agreement"] <= 1
    assert "What is retrieved" in folder.report_file.read_text()


def test_features_made_by_hand_teach_by_their_neighbors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path / "data")))
    teacher = {**small()["teacher"], "model": "hog"}
    folder = run(tmp_path, small(teacher=teacher, methods=["ce", "pkt"]))
    [taught] = [row for row in rows_of(folder) if row["method"] == "pkt"]
    assert 0 <= taught["teacher_map"] <= 1 and taught["status"] == "done"
    with folder.ledger() as ledger:
        [outputs] = {str(cell.outputs) for cell in ledger.cells() if cell.outputs}
    job = folder.job(outputs)
    assert isinstance(job, OutputsJob) and "embedding" in job.inputs.keep, "they are read from the cache"


def test_a_method_of_maps_is_refused_for_features_made_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_cifar100(tmp_path)))
    values = small(teacher={**small()["teacher"], "model": "hog"}, methods=["ce", "fitnet"])
    line = refusal_of_plan(tmp_path, values, capsys)
    assert "method fitnet needs feature maps, and the teacher has no stages that give them" in line
