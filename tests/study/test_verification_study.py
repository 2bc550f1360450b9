"""Small forms of the studies that verify speakers and classes that nothing was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from distillab.artefacts import LOGITS, WEIGHTS, load_logits
from distillab.cli import execute
from distillab.data.targets import Identities
from distillab.evidence.contrast import covering_draws
from distillab.evidence.measurements import Measurements
from distillab.evidence.schema import read_rows
from distillab.sources import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.job import OutputsJob, StudentJob
from distillab.study.planning.outline import make_plan
from distillab.study.spec.study import read_study
from distillab.tasks import Verification
from support.recordings import write_tone
from support.studies import rows_of
from support.systems import refusal_of_plan, run_by_command, small_form, write_cifar100

pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")

LABEL_FREE = [
    "infonce(ce_weight=0)",
    "embedding_hint(ce_weight=0)",
    "cosine_embedding(ce_weight=0)",
    "simclr",
]


def write_voices(base: Path) -> Path:
    """Write recordings of six speakers, named as the spoken digits are, and return the folder."""
    for number, speaker in enumerate(("george", "jackson", "lucas", "nicolas", "theo", "yweweler")):
        for digit in range(2):
            for take in range(6):
                path = base / "digits_spoken" / f"{digit}_{speaker}_{take}.flac"
                write_tone(path, 300 + 110 * number + 20 * digit, 0.6, seed=100 * number + 10 * digit + take)
    return base


def speakers(**changes: Any) -> dict[str, Any]:
    values = small_form("speakers", factors={}, **changes)
    values["data"] = {**values["data"], "n_mels": 8, "hop": 0.02}
    values["teacher"] = {**values["teacher"], "model": "resnet8", "outputs": {"views": "independent"}}
    values["evidence"] = {**values["evidence"], "probes": 0}
    return values


def unseen() -> dict[str, Any]:
    values = small_form("unseen-classes", factors={})
    values["data"] = {
        **values["data"],
        "unseen_classes": 3,
        "resolution": 16,
        "val": 0.25,
        "duplicates": "keep",
    }
    values["teacher"] = {**values["teacher"], "model": "resnet8"}
    values["evidence"] = {**values["evidence"], "probes": 0}
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The small form of the study of speakers."""
    return run_by_command(write_voices(tmp_path_factory.mktemp("voices")), speakers(seeds=2))


def test_every_student_verifies_two_speakers(folder: StudyFolder) -> None:
    rows = rows_of(folder)
    assert {row["method"] for row in rows} == {"ce", *LABEL_FREE}
    for row in rows:
        assert row["status"] == "done" and row["one_minus_eer"] == pytest.approx(1 - row["eer"])
        assert 0 <= row["eer"] <= 1 and 0 <= row["min_dcf"] <= 1 and 0 <= row["map"] <= 1
        assert row["accuracy"] is None
    taught = [row for row in rows if row["method"] not in ("ce", "simclr")]
    assert all(0 <= row["teacher_one_minus_eer"] <= 1 for row in taught)
    assert all(-1 <= row["similarity_correlation"] <= 1 for row in taught)
    effects = read_rows(folder.effects_file)
    assert {row["metric"] for row in effects} >= {"one_minus_eer", "eer", "min_dcf"}
    assert {row["baseline"] for row in effects} >= {"ce", "simclr"}
    page = (folder.path / "report.html").read_text()
    assert "1 − EER" in page and "tested and not trained on: 2" in page


def test_intervals_take_speakers_for_the_draws(folder: StudyFolder) -> None:
    measured = Measurements(folder)
    row = next(row for row in measured.rows() if row["method"] == "ce")
    parts = measured.contributions(row)
    assert len(parts.values) == 2, "two speakers"
    assert parts.values.mean() == pytest.approx(row["one_minus_eer"])
    test = folder.dataset.eval["test"]
    assert covering_draws(measured.contributions, Verification(), test) is None, (
        "two say nothing about others"
    )
    effects = [row for row in read_rows(folder.effects_file) if row["metric"] == "one_minus_eer"]
    assert all(row["ci_low_same_test"] is None for row in effects)


def test_a_student_is_exported_as_no_classifier(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["export", str(folder.path)]) == 2
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.strip()]
    assert "give embeddings, and classifiers alone can be exported" in line


def test_no_label_of_the_transfer_set_is_read(tmp_path: Path) -> None:
    """Students of methods without labels are the same under other labels, given the same teacher."""
    weights = []
    for noise in (0.0, 0.9):
        base = write_voices(tmp_path / str(noise))
        values = speakers(seeds=1)
        values["factors"] = {"label_noise": {"levels": [noise], "roles": ["transfer"]}}
        found = run_by_command(base, values)
        with found.ledger() as ledger:
            runs = {cell.method: cell.run_id for cell in ledger.cells()}
        weights.append(
            {name: (found.store.folder("student", run) / WEIGHTS).read_bytes() for name, run in runs.items()}
        )
    for name in LABEL_FREE:
        assert weights[0][name] == weights[1][name], name
    assert weights[0]["ce"] != weights[1]["ce"]


def plan_of(base: Path, values: dict[str, Any]) -> dict[str, Any]:
    (base / "study.yaml").write_text(yaml.safe_dump(values))
    study = read_study(base / "study.yaml")
    planned = make_plan(study, load_dataset(study.source()), torch.device("cpu"))
    return {cell.method: planned.jobs[cell.run] for cell in planned.cells if cell.run} | {
        "outputs": next(job for job in planned.jobs.values() if isinstance(job, OutputsJob))
    }


def test_a_teacher_sees_another_view_than_its_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_voices(tmp_path)))
    values = speakers(seeds=1)
    own = plan_of(tmp_path, values)
    values["teacher"]["outputs"] = {}
    same = plan_of(tmp_path, values)
    student = own["ce"]
    assert isinstance(student, StudentJob)
    assert own["outputs"].view_seed != student.seeds.views == same["outputs"].view_seed
    assert own["ce"].id == same["ce"].id and own["simclr"].id == same["simclr"].id
    assert own["infonce(ce_weight=0)"].id != same["infonce(ce_weight=0)"].id


def test_a_live_teacher_has_no_independent_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_voices(tmp_path)))
    values = speakers(seeds=1) | {"methods": ["ce", "fitnet"], "evidence": {}}
    assert "method fitnet queries a live teacher" in refusal_of_plan(tmp_path, values, capsys)
    values["methods"] = ["ce", "kd"]
    values["teacher"]["outputs"] = {"views": "independent", "budget": 0}
    assert "a larger outputs.budget" in refusal_of_plan(tmp_path, values, capsys)


def test_classes_that_nothing_was_trained_on_are_verified_and_retrieved(tmp_path: Path) -> None:
    found = run_by_command(write_cifar100(tmp_path, classes=7), unseen())
    test = found.dataset.eval["test"]
    assert isinstance(test.targets, Identities) and test.counts.tolist() == [6, 6, 6]
    rows = rows_of(found)
    assert {row["method"] for row in rows} == {"ce", *LABEL_FREE} and {row["status"] for row in rows} == {
        "done"
    }
    with found.ledger() as ledger:
        run = next(cell.run_id for cell in ledger.cells() if cell.method == "simclr")
    stored = load_logits(found.store.folder("student", run) / LOGITS)["test.last"]
    np.testing.assert_allclose(np.linalg.norm(stored.astype(np.float64), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"explain": {"attributions": ["grad_cam"]}}, "no network has an output for the test examples"),
        ({"rare_classes": "drop"}, "rare classes are neither dropped nor merged where other classes"),
        ({"trials": "same.txt"}, "has no trials of one identity, or none of two"),
    ],
)
def test_what_cannot_be_verified_is_refused_before_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(write_voices(tmp_path)))
    values = speakers(seeds=1)
    (tmp_path / "same.txt").write_text(
        "1 0_theo_0.flac 0_theo_1.flac\n1 0_yweweler_0.flac 0_yweweler_1.flac\n"
    )
    if "explain" in changes:
        values |= changes
    else:
        values["data"] = {**values["data"], **changes}
        values["data"].pop("unseen_classes" if "trials" in changes else "", None)
    assert message in refusal_of_plan(tmp_path, values, capsys)
