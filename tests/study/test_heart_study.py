"""Small forms of the studies of heart sounds: records that vote, sensitivity and specificity, sites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.deploy.export import export_run
from distillab.deploy.loaded import load_model
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.explain.tables import check_planned
from distillab.study.folder import StudyFolder
from distillab.study.planning.outline import make_plan
from distillab.study.planning.splits import SeedSplits
from distillab.study.spec.study import read_study
from distillab.tasks import Classification
from support.contributions import metrics_over_examples
from support.recordings import write_tone
from support.studies import CPU, run_here
from support.systems import small_form

pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of DISTILLAB_DATA."""
    draw(tmp_path)
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    return tmp_path


def draw(root: Path) -> None:
    """Write tones of 5 s from two sites, of which one has mostly normal records."""
    heart, lines = root / "heart", ["record,database,label,full_seconds"]
    for site in "ab":
        for number in range(36):
            abnormal = (number % 3 == 0) != (site == "a")
            name = f"{site}{number:04}"
            write_tone(heart / f"training-{site}" / f"{name}.flac", 400 + 300 * abnormal, 5.0, seed=number)
            lines.append(f"{name},{site},{1 if abnormal else -1},20.0")
    (heart / "REFERENCE.csv").write_text("\n".join(lines) + "\n")


def test_records_vote_and_have_sensitivity_and_specificity(drawn: Path) -> None:
    values = small_form("heart-sounds", seeds=2, steps=4)
    values["methods"] = values["methods"][:3]
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    test = folder.dataset.eval["test"]
    assert test.parts is not None and test.parts.shape == (len(test), 2)
    assert any("group of an example alone predicts its class" in note for note in folder.dataset.report.notes)
    rows = run_here(folder)
    assert len(rows) == 3 * 2 and {row["status"] for row in rows} == {"done"}
    for row in rows:
        assert row["n_test"] == len(test)
        both = (row["sensitivity"] + row["specificity"]) / 2
        assert row["balanced_accuracy"] == pytest.approx(both)
        assert np.isfinite(row["group_balanced_accuracy"])
        assert row["teacher_balanced_accuracy"] is None or 0 <= row["teacher_balanced_accuracy"] <= 1


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study of one seed whose records vote."""
    root = tmp_path_factory.mktemp("voted")
    with pytest.MonkeyPatch.context() as patch:
        draw(root)
        patch.setenv("DISTILLAB_DATA", str(root))
        values = small_form("heart-sounds", steps=3)
        values["methods"] = ["ce"]
        values["evidence"] = {"probes": 0}
        values["draws"] = {}
        (root / "study.yaml").write_text(yaml.safe_dump(values))
        folder = StudyFolder.begin(root / "dir", read_study(root / "study.yaml"), CPU)
        run_here(folder)
        return folder


def test_student_of_records_that_vote_is_exportable_and_evaluated(voted: StudyFolder, tmp_path: Path) -> None:
    [row] = read_rows(voted.results_file)
    export_run(voted, row["run_id"], tmp_path / "model", formats=["safetensors"])
    checks = json.loads((tmp_path / "model" / "checks.json").read_text())
    parts = voted.dataset.val.parts
    assert parts is not None
    assert checks["val"]["examples"] == (parts >= 0).sum(), "files take one part at a time"
    found = load_model(tmp_path / "model").logits(voted.dataset.eval["test"])
    assert found.shape == (row["n_test"], 2)
    assert Classification().score(found, voted.dataset.eval["test"].targets) == pytest.approx(row["accuracy"])


def test_split_of_records_that_vote_is_shared_by_all_seeds(voted: StudyFolder) -> None:
    assert not SeedSplits(voted.spec, voted.dataset).is_drawn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": {"name": "balanced_classification", "class_weights": [1, 2, 3]}},
            "3 weights for 2 classes",
        ),
        ({"explain": {"attributions": ["occlusion"], "images": 4}}, "several parts are not explained"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_plan(
    voted: StudyFolder, change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(voted.path.parent))
    values = small_form("heart-sounds") | {"methods": ["ce"], "evidence": {"probes": 0}, **change}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    study = read_study(tmp_path / "study.yaml")
    with pytest.raises(RequestError, match=message):
        check_planned(study, voted.dataset, [])
        make_plan(study, voted.dataset, CPU)


def test_unlabelled_records_are_planned_with_weighted_classes(
    voted: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of the labelled records."""
    monkeypatch.setenv("DISTILLAB_DATA", str(voted.path.parent))
    values = small_form("heart-sounds", factors={"size": [4], "unlabelled": [0, 1]})
    assert values["task"]["class_weights"] == "balanced"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    plan = make_plan(read_study(tmp_path / "study.yaml"), voted.dataset, CPU)
    counts = {cell.n_unlabelled for cell in plan.cells}
    assert min(counts) == 0 < max(counts)


def test_sites_are_left_out_one_by_one(drawn: Path) -> None:
    values = small_form("heart-sounds-new-site", steps=3)
    values["factors"]["groups"]["levels"] = ["a", "b"]
    values["data"]["val"] = 0.4
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    rows = run_here(folder)
    assert {row["factor.groups"] for row in rows} == {"a", "b"}
    for row in rows:
        assert 0 <= row[f"balanced_accuracy.{row['factor.groups']}"] <= 1
    assert {"balanced_accuracy.a", "balanced_accuracy.b"} <= metrics_over_examples(folder)
